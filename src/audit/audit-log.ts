import { type Clock, SECOND } from '../clock';
import type { Facts } from '../facts';
import { HUBS_OWN, newAuditId } from '../ids';
import type { Log } from '../log';
import type { Database, Tx } from '../store/database';
import { WakeableLoop } from '../wakeable-loop';
import { type Deed, Gathering, type Noted } from './gathering';

interface Deps {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  readonly facts: Facts;
}

interface KeyRefused {
  readonly apiKey: { readonly id: string; readonly applicationId: string | null } | null;
  readonly address: string | null;
  readonly reason: NonNullable<Deed['reason']>;
}

const ROUND_MS = SECOND;
const MAX_ROWS_PER_TRANSACTION = 500;
/** Rows that wait while the database is away; then it lets nobody read or change anything, so few are added. */
const MAX_WAITING_ROWS = 20_000;

/**
 * Who did what to what. A change is written right after its own commit, before it is answered: only a crash between the
 * two loses it. What happens often, reads and publishes and refused tokens, is gathered in memory and written in the
 * background: a crash loses the last 10 s of reads and the last minute of the others, a clean shutdown nothing.
 */
export class AuditLog {
  readonly #deps: Deps;
  readonly #loop: WakeableLoop;
  readonly #gathering = new Gathering((noted) => this.#add(noted));
  #waiting: Noted[] = [];
  #dropped = 0;
  /** Has not begun: what is added now is written by it. */
  #next: Promise<void> | undefined;
  #last: Promise<void> = Promise.resolve();

  constructor(deps: Deps) {
    this.#deps = deps;
    deps.facts.keyRefused.on((refusal) => this.refused(refusal));
    this.#loop = new WakeableLoop({
      clock: deps.clock,
      everyMs: ROUND_MS,
      round: async () => {
        this.#gathering.finish(deps.clock.now());
        if (this.#waiting.length > 0) await this.#write();
      },
      failed: ({ message }) => deps.log.warn({ rows: this.#waiting.length, error: message }, 'audit.not_written'),
    });
  }

  start(): void {
    this.#loop.start();
  }

  async stop(): Promise<void> {
    await this.#loop.stop();
    await this.flush();
  }

  /** Something was changed: resolves when that is written, or will be tried again. Never rejects: the change is done. */
  async done(deed: Deed): Promise<void> {
    this.#add({ ...deed, count: 1, at: this.#deps.clock.now() });
    await this.#writeIfPossible();
  }

  /** A payload or a body was read. */
  read(deed: Deed, targetId: string): void {
    this.#gathering.read(deed, targetId, this.#deps.clock.now());
  }

  published(deed: Deed, eventIds: readonly string[]): void {
    if (eventIds.length > 0) this.#gathering.published(deed, eventIds, this.#deps.clock.now());
  }

  refused({ apiKey, address, reason }: KeyRefused): void {
    const deed = {
      applicationId: apiKey?.applicationId ?? null,
      actorId: apiKey?.id ?? null,
      address,
      action: 'key.refused',
      targetIds: apiKey ? [apiKey.id] : [],
      reason,
    } as const;
    this.#gathering.refused(deed, this.#deps.clock.now());
  }

  /** Writes all that was noted on this instance. */
  async flush(): Promise<void> {
    this.#gathering.finish(this.#deps.clock.now(), true);
    if (this.#waiting.length > 0) await this.#writeIfPossible();
  }

  #add(noted: Noted): void {
    if (this.#waiting.length < MAX_WAITING_ROWS) this.#waiting.push(noted);
    else this.#dropped++;
  }

  async #writeIfPossible(): Promise<void> {
    try {
      await this.#write();
    } catch (error) {
      this.#deps.log.warn({ rows: this.#waiting.length, error: (error as Error).message }, 'audit.not_written'); // by the next round
    }
  }

  /** One transaction at a time; what comes meanwhile shares the next. */
  #write(): Promise<void> {
    this.#next ??= this.#last
      .catch(() => {})
      .then(() => {
        this.#next = undefined;
        this.#last = this.#writeWaiting();
        return this.#last;
      });
    return this.#next;
  }

  async #writeWaiting(): Promise<void> {
    const { database, log } = this.#deps;
    while (this.#waiting.length > 0) {
      const rows = this.#waiting.slice(0, MAX_ROWS_PER_TRANSACTION);
      await database.transaction((tx) => insert(tx, rows));
      this.#waiting.splice(0, rows.length);
    }
    if (this.#dropped > 0) log.error({ rows: this.#dropped }, 'audit.dropped');
    this.#dropped = 0;
  }
}

const COLUMNS = ['id', 'actor_id', 'actor_partner', 'address', 'action', 'target_ids', 'count', 'reason', 'created_at'] as const;

async function insert(tx: Tx, rows: readonly Noted[]): Promise<void> {
  await tx.insert(
    'audit_events',
    COLUMNS,
    rows.map(({ applicationId, actorId, address, action, targetIds, count, reason, at }) => [
      newAuditId(applicationId ?? HUBS_OWN, at),
      actorId,
      null,
      address,
      action,
      JSON.stringify(targetIds),
      count,
      reason ?? null,
      at,
    ]),
  );
}
