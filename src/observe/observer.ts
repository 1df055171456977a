import { AttemptTrigger } from '../attempts/attempt';
import type { Verdict } from '../delivery/completion/settle';
import type { Batch } from '../events/append';
import type { Facts } from '../facts';
import type { Log } from '../log';
import { isOwnEventType } from '../matching/event-type';
import type { Metrics } from './metrics';
import type { Tracing } from './tracing';

interface Deps {
  readonly metrics: Metrics;
  readonly log: Log;
  /** Undefined where no traces are wanted. */
  readonly tracing: Tracing | undefined;
  readonly facts: Facts;
}

/** What operators see of the work: each unit of it is counted, logged in one line and, where that is wanted, traced. */
export class Observer {
  readonly #deps: Deps;

  constructor(deps: Deps) {
    this.#deps = deps;
    const { facts } = deps;
    facts.eventsStored.on(({ batch, durationMs, endedAt }) => this.#committed(batch, durationMs, endedAt));
    facts.attemptsSettled.on(({ verdicts, durationMs }) => void (verdicts.length > 0 && this.#attempted(verdicts, durationMs)));
  }

  /** A batch of events is stored. */
  #committed({ answers, stored, deliveries }: Batch, durationMs: number, endedAt: number): void {
    const { metrics, log, tracing } = this.#deps;
    const events = stored.length;
    const deduplicated = answers.reduce((sum, answer) => sum + (answer?.length ?? 0), 0) - events;
    const accepted = stored.reduce((sum, { type }) => sum + Number(!isOwnEventType(type)), 0);
    metrics.committed({ events, accepted, deduplicated, durationMs });
    log.info(
      { publishes: answers.length, events, deduplicated, deliveries: deliveries.length, ms: rounded(durationMs) },
      'events.committed',
    );
    tracing?.committed(stored, { durationMs, endedAt });
  }

  /** Events of a publish were not stored. */
  refused(code: string, events: number): void {
    this.#deps.metrics.refused(code, events);
    this.#deps.log.debug({ code, events }, 'events.refused');
  }

  /** A batch of attempts is written down. */
  #attempted(verdicts: readonly Verdict[], durationMs: number): void {
    const { metrics, log, tracing } = this.#deps;
    const outcomes = new Map<string, number>();
    const statuses = { SUCCEEDED: 0, RETRYING: 0, FAILED: 0 };
    for (const { finished, status } of verdicts) {
      const { job, exchange, startedAt } = finished;
      outcomes.set(exchange.outcome, (outcomes.get(exchange.outcome) ?? 0) + 1);
      statuses[status]++;
      if (job.trigger === AttemptTrigger.FIRST) metrics.dispatchedAfter(Math.max(0, startedAt - job.createdAt));
    }
    for (const [outcome, attempts] of outcomes) metrics.attempted(outcome, attempts);
    const { SUCCEEDED: succeeded, RETRYING: retrying, FAILED: failed } = statuses;
    metrics.completed({ succeeded, failed });
    metrics.attemptsSettled({ attempts: verdicts.length, durationMs });
    log.info({ attempts: verdicts.length, succeeded, retrying, failed, ms: rounded(durationMs) }, 'attempts.settled');
    tracing?.attempted(verdicts);
  }
}

function rounded(ms: number): number {
  return Math.round(ms * 10) / 10;
}
