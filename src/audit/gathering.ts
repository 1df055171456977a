import { MINUTE, SECOND } from '../clock';
import type { AuditAction, KeyRefusal } from './audit-event';

/** Who did what to what. */
export interface Deed {
  /** Null: the hub's own log, which admin keys read. */
  readonly applicationId: string | null;
  readonly actorId: string | null;
  readonly address: string | null;
  readonly action: AuditAction;
  readonly targetIds: readonly string[];
  /** Of `key.refused`. */
  readonly reason?: `${KeyRefusal}` | null;
}

/** Of one that came with no key: from the command line, or from a start of the hub. */
export function byNobody(action: AuditAction, applicationId: string | null, targetId: string): Deed {
  return { applicationId, actorId: null, address: null, action, targetIds: [targetId] };
}

/** One that is ready to be written. */
export interface Noted extends Deed {
  readonly count: number;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

interface Gathered {
  readonly deed: Deed;
  readonly at: number;
  readonly until: number;
  readonly targetIds: Set<string>;
  count: number;
}

const MAX_TARGETS_PER_ROW = 100;
/** How long the same deed of the same key from the same address is counted before it becomes a row. */
const GATHER_MS = { read: 10 * SECOND, publish: MINUTE, refuse: MINUTE } as const;
/** Rows in the making. Beyond it the oldest is finished early. */
const MAX_GATHERED = 10_000;
/** Addresses that have a row of their own in a minute; those of all others are counted together. */
const MAX_REFUSED_ADDRESSES_PER_MINUTE = 50;

/** Makes one row of what happens often: reads, publishes, refused tokens. */
export class Gathering {
  readonly #gathered = new Map<string, Gathered>();
  readonly #finished: (noted: Noted) => void;
  #refusedRows = 0;

  constructor(finished: (noted: Noted) => void) {
    this.#finished = finished;
  }

  get size(): number {
    return this.#gathered.size;
  }

  /** Something was read: each target counts once a row, and a row that has a hundred is finished. */
  read(deed: Deed, targetId: string, now: number): void {
    const key = keyOf(deed);
    const gathered = this.#of(key, deed, now, GATHER_MS.read);
    gathered.targetIds.add(targetId);
    gathered.count = gathered.targetIds.size;
    if (gathered.count >= MAX_TARGETS_PER_ROW) this.#finish(key, gathered);
  }

  /** Events were published: the row has the first and the last of them. */
  published(deed: Deed, eventIds: readonly string[], now: number): void {
    const gathered = this.#of(keyOf(deed), deed, now, GATHER_MS.publish);
    const [first] = gathered.targetIds.size > 0 ? gathered.targetIds : eventIds;
    const last = eventIds.at(-1);
    gathered.targetIds.clear();
    for (const id of [first, last]) if (id !== undefined) gathered.targetIds.add(id);
    gathered.count += eventIds.length;
  }

  /** A token was refused. */
  refused(deed: Deed, now: number): void {
    const key = keyOf(deed);
    const isKnown = this.#gathered.has(key) || this.#refusedRows < MAX_REFUSED_ADDRESSES_PER_MINUTE;
    // With their keys they would be as many as there are keys.
    const counted = isKnown ? deed : { ...deed, applicationId: null, actorId: null, address: null, targetIds: [], reason: null };
    this.#of(keyOf(counted), counted, now, GATHER_MS.refuse).count++;
  }

  /** Finishes what was gathered long enough; with `isLast` everything. */
  finish(now: number, isLast = false): void {
    for (const [key, gathered] of this.#gathered) if (isLast || gathered.until <= now) this.#finish(key, gathered);
  }

  #of(key: string, deed: Deed, now: number, gatherMs: number): Gathered {
    const known = this.#gathered.get(key);
    if (known) return known;
    const [oldest] = this.#gathered;
    if (oldest && this.#gathered.size >= MAX_GATHERED) this.#finish(...oldest);
    const gathered = { deed, at: now, until: now + gatherMs, targetIds: new Set(deed.targetIds), count: 0 };
    this.#gathered.set(key, gathered);
    if (deed.action === 'key.refused') this.#refusedRows++;
    return gathered;
  }

  #finish(key: string, { deed, at, targetIds, count }: Gathered): void {
    this.#gathered.delete(key);
    if (deed.action === 'key.refused') this.#refusedRows--;
    this.#finished({ ...deed, targetIds: [...targetIds], count, at });
  }
}

function keyOf({ action, applicationId, actorId, address, reason }: Deed): string {
  return `${action} ${applicationId} ${actorId} ${address} ${reason}`;
}
