import { AttemptTrigger } from '../../attempts/attempt';
import type { Clock } from '../../clock';
import { cancelRows } from '../../deliveries/cancel-rows';
import type { Event } from '../../events/event';
import type { Events } from '../../events/events';
import type { Facts } from '../../facts';
import { groupBy } from '../../group-by';
import { applicationIdOf, sequenceOf } from '../../ids';
import type { Database } from '../../store/database';
import { type Job, weightWith } from '../job';
import { bodyId, readBodies } from '../request/bodies';
import { bodyOf, derivedBody, type FixedBody, isDerived, STANDARD_BODY } from '../request/body';
import type { Releaser } from './releaser';

/** The columns of a `ClaimedRow`. */
export const CLAIMED_COLUMNS = 'id, attempt_count, manual_attempts, next_trigger, automatic_due_at, created_at, payload_chars, body_key';

export interface ClaimedRow {
  readonly id: string;
  readonly attempt_count: number;
  readonly manual_attempts: number;
  readonly next_trigger: AttemptTrigger | null;
  readonly automatic_due_at: number | null;
  readonly created_at: number;
  readonly payload_chars: number;
  readonly body_key: string | null;
}

interface Deps {
  readonly instanceId: string;
  readonly database: Database;
  readonly clock: Clock;
  readonly events: Pick<Events, 'bySequences'>;
  readonly releaser: Pick<Releaser, 'release'>;
  readonly facts: Facts;
}

/** Makes jobs of claimed deliveries: reads their events and fixed bodies. */
export class JobLoader {
  readonly #deps: Deps;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** What was claimed is released where its jobs cannot be made. */
  async load(rows: readonly ClaimedRow[]): Promise<Job[]> {
    try {
      return await this.#load(rows);
    } catch (error) {
      this.#deps.releaser.release(rows.map(({ id }) => id));
      throw error;
    }
  }

  /** There is nothing left to send of a redacted event, no matter who asked for one more attempt: its deliveries are cancelled. */
  async #load(rows: readonly ClaimedRow[]): Promise<Job[]> {
    const jobs = await this.#read(rows);
    const redacted = jobs.filter(({ event }) => event.redactedAt !== null).map(({ deliveryId }) => deliveryId);
    if (redacted.length === 0) return jobs;
    await this.#cancel(redacted);
    return jobs.filter(({ event }) => event.redactedAt === null);
  }

  async #read(rows: readonly ClaimedRow[]): Promise<Job[]> {
    const byApplication = groupBy(rows, ({ id }) => applicationIdOf(id));
    const jobs = await Promise.all([...byApplication].map(([applicationId, own]) => this.#ofApplication(applicationId, own)));
    return jobs.flat();
  }

  async #ofApplication(applicationId: string, rows: readonly ClaimedRow[]): Promise<Job[]> {
    const { database, events } = this.#deps;
    const found = await events.bySequences(applicationId, [...new Set(rows.map((row) => sequenceOf(row.id)))]);
    const bySequence = new Map(found.map((event) => [event.sequence, event]));
    const shaped = rows.filter((row) => !isDerived(row.body_key ?? STANDARD_BODY)).map((row) => sequenceOf(row.id));
    const bodies = await readBodies(database.read, applicationId, shaped);
    return rows.flatMap((row) => {
      const event = bySequence.get(sequenceOf(row.id));
      return event ? [jobOf(row, event, bodies)] : [];
    });
  }

  async #cancel(deliveryIds: readonly string[]): Promise<void> {
    const { database, clock, facts, instanceId } = this.#deps;
    const updates = await database.transaction(async (tx) => {
      const { sql, parameters } = tx.dialect.oneOf('id', deliveryIds);
      const owned = await tx.query<{ id: string; event_type: string; created_at: number }>(
        `SELECT id, event_type, created_at FROM deliveries WHERE ${sql} AND owner = ? ${tx.dialect.forUpdate}`,
        [...parameters, instanceId],
      );
      return cancelRows(tx, owned, clock.now());
    });
    facts.updatesLogged.emit(updates);
  }
}

function jobOf(row: ClaimedRow, event: Event, bodies: ReadonlyMap<string, string>): Job {
  const attemptCount = Number(row.attempt_count);
  const trigger = row.next_trigger ?? (attemptCount === 0 ? AttemptTrigger.FIRST : AttemptTrigger.AUTOMATIC);
  const body = fixedBody(row, event, bodies);
  const weight = weightWith(body, event.payloadText.length);
  return {
    deliveryId: row.id,
    event,
    attemptCount,
    manualAttempts: Number(row.manual_attempts),
    trigger,
    // An instance of the version before may have left it behind.
    automaticDueAt: trigger !== AttemptTrigger.MANUAL || row.automatic_due_at === null ? null : Number(row.automatic_due_at),
    body,
    createdAt: Number(row.created_at),
    weight,
  };
}

function fixedBody({ body_key: key }: ClaimedRow, event: Event, bodies: ReadonlyMap<string, string>): FixedBody | null {
  if (key === null) return null;
  if (isDerived(key)) return { key, bytes: derivedBody(event, key) };
  const stored = bodies.get(bodyId(event.sequence, key));
  return stored === undefined ? { key: STANDARD_BODY, bytes: bodyOf(event) } : { key, bytes: Buffer.from(stored) };
}
