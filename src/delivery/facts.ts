import type { LiveWebhook } from '../webhooks/webhook-cache';
import type { Verdict } from './completion/settle';
import type { Job } from './job';
import type { Exchange } from './transport/exchange';

/** Attempts that are written down. */
export interface SettledBatch {
  /** What this instance has moved. */
  readonly verdicts: readonly Verdict[];
  /** All that is no longer in its hands: with what another instance or a cancellation has moved meanwhile. */
  readonly released: readonly Verdict[];
  readonly durationMs: number;
}

/** Deliveries have left this instance's memory unsent. */
export interface DeliveriesLeft {
  readonly webhook: LiveWebhook;
  readonly jobs: readonly Job[];
  /**
   * FORGOTTEN: they were cancelled. WITHDRAWN: they are still this instance's in the database, and the caller that has withdrawn
   * them sees to it. RELEASED: they are on their way to being anybody's.
   */
  readonly how: 'FORGOTTEN' | 'WITHDRAWN' | 'RELEASED';
}

/** A webhook's circuit breaker has opened, or closed again. */
export interface CircuitChange {
  readonly isOpen: boolean;
  /** What brought it about. */
  readonly exchange: Exchange;
  /** Of the event that was sent. */
  readonly eventType: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
}
