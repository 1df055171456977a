import type { Clock } from '../clock';
import { HubError } from '../errors';

export interface Sequenced {
  readonly sequence: number;
}

/** One of an application's logs, as the database has it. */
export interface LogSource<T extends Sequenced> {
  /** At most `most` entries after `sequence`, in order and without a gap. */
  after(applicationId: string, sequence: number, most: number): Promise<T[]>;
  /** The last sequence that is committed; undefined when there is no such application. */
  head(applicationId: string): Promise<number | undefined>;
}

interface Watched<T> {
  readonly followers: Set<Follower<T & Sequenced>>;
  /** The newest entries, contiguous, kept for followers that are close behind. */
  recent: T[];
  /** What they weigh. */
  weight: number;
  /** The highest sequence heard of. */
  head: number;
  /** A crowd is not woken again before; milliseconds of the monotonic clock. */
  restsUntil: number;
  isWakePending: boolean;
}

/**
 * From so many followers on they are woken no more often than this, each, allows: a thousand every 40 ms, so that what
 * comes meanwhile leaves in one write. 50 events a second to 1,000 sockets took 18.9 µs of CPU a message before.
 */
const CROWD = 100;
const REST_MS_EACH = 0.04;

/** Entries kept in memory per watched application; a follower that is further behind reads the database. */
const MAX_RECENT = 2_000;
/** Bytes, over all watched applications; each gets its share, but room for a few large events. */
const MAX_WEIGHT = 64 * 1024 * 1024;
const MIN_WEIGHT = 64 * 1024;
/** Bytes that a follower takes at once, or one entry; how many entries it asks for grows until they weigh that. */
const MAX_TAKEN_WEIGHT = 256 * 1024;
const FIRST_TAKEN = 16;

/**
 * The live end of a log. The database is the truth: what is announced here is a shortcut for followers who are up to
 * date, and a doorbell for everybody else. A follower holds a cursor and what it took last, so a slow one costs little.
 */
export class LiveLog<T extends Sequenced> {
  readonly #clock: Clock;
  readonly #source: LogSource<T>;
  readonly #weigh: (entry: T) => number;
  readonly #watched = new Map<string, Watched<T>>();

  /** `weigh`: about how many bytes an entry takes in memory. */
  constructor(clock: Clock, source: LogSource<T>, weigh: (entry: T) => number) {
    this.#clock = clock;
    this.#source = source;
    this.#weigh = weigh;
  }

  /** The applications that somebody watches here. */
  get watched(): string[] {
    return [...this.#watched.keys()];
  }

  get followers(): number {
    return this.#count(({ followers }) => followers.size);
  }

  /** Entries kept in memory for those who are close behind. */
  get kept(): number {
    return this.#count(({ recent }) => recent.length);
  }

  /**
   * Follows the log of an application from after `sequence`, or from its present end.
   * @throws HubError BAD_USER_INPUT for an unknown application or a sequence past the end, CURSOR_EXPIRED when what
   *   follows the sequence has been removed
   */
  async follow(applicationId: string, sequence: number | undefined): Promise<Follower<T>> {
    const head = await this.#source.head(applicationId);
    if (head === undefined) throw new HubError('BAD_USER_INPUT', 'applicationId: there is no such application');
    if (sequence !== undefined && sequence > head)
      throw new HubError('BAD_USER_INPUT', `after: the cursor is ${sequence - head} past the end of the log`);
    if (sequence !== undefined && sequence < head) await this.#refuseExpired(applicationId, sequence);
    const watched = this.#watched.get(applicationId) ?? {
      followers: new Set<Follower<T>>(),
      recent: [],
      weight: 0,
      head,
      restsUntil: 0,
      isWakePending: false,
    };
    this.#watched.set(applicationId, watched);
    this.ring(applicationId, head); // others may wait for what was committed a moment ago and is yet to be announced
    const follower = new Follower<T>(
      sequence ?? head,
      (after, most) => this.#next(applicationId, after, most),
      (entries) => this.#lighten(entries),
      () => {
        watched.followers.delete(follower);
        if (watched.followers.size === 0 && this.#watched.get(applicationId) === watched) this.#watched.delete(applicationId);
      },
    );
    watched.followers.add(follower);
    return follower;
  }

  /** The last committed sequence; undefined when there is no such application. */
  head(applicationId: string): Promise<number | undefined> {
    return this.#source.head(applicationId);
  }

  /** Entries were committed by this instance. */
  announce(applicationId: string, entries: readonly T[]): void {
    const watched = this.#watched.get(applicationId);
    const first = entries[0];
    const last = entries.at(-1);
    if (!watched || !first || !last) return;
    const newest = watched.recent.at(-1)?.sequence ?? watched.head;
    if (first.sequence > newest + 1) {
      watched.recent = []; // what lies between is another instance's: in the database
      watched.weight = 0;
    }
    if (first.sequence > newest)
      for (const entry of entries) {
        watched.recent.push(entry);
        watched.weight += this.#weigh(entry);
      }
    this.#trim(watched);
    this.ring(applicationId, last.sequence);
  }

  /** The log of an application goes up to `head`, says the database or another instance. */
  ring(applicationId: string, head: number): void {
    const watched = this.#watched.get(applicationId);
    if (!watched || head <= watched.head) return;
    watched.head = head;
    if (watched.isWakePending) return;
    const restMs = watched.restsUntil - this.#clock.monotonic();
    if (restMs <= 0) {
      this.#wakeAll(watched);
      return;
    }
    watched.isWakePending = true;
    this.#clock.after(restMs, () => this.#wakeAll(watched));
  }

  /** Shows `look` every entry of an application in memory, also those that followers have taken and may not have passed on. */
  visit(applicationId: string, look: (entry: T) => void): void {
    const watched = this.#watched.get(applicationId);
    if (!watched) return;
    for (const entry of watched.recent) look(entry);
    for (const follower of watched.followers) for (const entry of follower.taken) look(entry as T);
  }

  /** Ends every follower. */
  close(): void {
    for (const { followers } of [...this.#watched.values()]) for (const follower of [...followers]) follower.close();
  }

  #count(of: (watched: Watched<T>) => number): number {
    let count = 0;
    for (const watched of this.#watched.values()) count += of(watched);
    return count;
  }

  /** Keeps the newest half of what has grown too much. */
  #trim(watched: Watched<T>): void {
    const most = Math.max(MIN_WEIGHT, MAX_WEIGHT / this.#watched.size);
    while (watched.recent.length > MAX_RECENT || (watched.weight > most && watched.recent.length > 0)) {
      watched.recent = watched.recent.slice(Math.ceil(watched.recent.length / 2));
      watched.weight = watched.recent.reduce((sum, entry) => sum + this.#weigh(entry), 0);
    }
  }

  /** At once from memory, where it is there: a promise less for each of thousands of followers. */
  #next(applicationId: string, after: number, most: number): readonly T[] | Promise<readonly T[]> {
    const watched = this.#watched.get(applicationId);
    const oldest = watched?.recent[0]?.sequence;
    if (watched && oldest !== undefined && after + 1 >= oldest && after < oldest + watched.recent.length - 1)
      return watched.recent.slice(after + 1 - oldest, after + 1 - oldest + most);
    return watched && after >= watched.head ? [] : this.#stored(applicationId, after, most, watched);
  }

  async #stored(applicationId: string, after: number, most: number, watched: Watched<T> | undefined): Promise<readonly T[]> {
    const entries = withoutGap(await this.#source.after(applicationId, after, most), after);
    // The log goes further than `after`, and what comes next is not there.
    if (entries.length === 0 && watched !== undefined) throw new HubError('CURSOR_EXPIRED');
    return entries;
  }

  /** As many of the first entries as a follower may hold. */
  #lighten(entries: readonly T[]): readonly T[] {
    let weight = 0;
    const end = entries.findIndex((entry) => {
      weight += this.#weigh(entry);
      return weight > MAX_TAKEN_WEIGHT;
    });
    return end < 0 ? entries : entries.slice(0, Math.max(1, end));
  }

  /** Said at once, not with the next entry, which may be long in coming. */
  #wakeAll(watched: Watched<T>): void {
    const { followers } = watched;
    watched.isWakePending = false;
    watched.restsUntil = followers.size < CROWD ? 0 : this.#clock.monotonic() + followers.size * REST_MS_EACH;
    for (const follower of followers) follower.wake();
  }

  async #refuseExpired(applicationId: string, sequence: number): Promise<void> {
    const recent = this.#watched.get(applicationId)?.recent[0];
    if (recent && recent.sequence <= sequence + 1) return;
    const [next] = await this.#source.after(applicationId, sequence, 1);
    if (next?.sequence !== sequence + 1) throw new HubError('CURSOR_EXPIRED');
  }
}

/** The entries from `after` on up to where one is missing: retention passes over events that are still being delivered. */
function withoutGap<T extends Sequenced>(entries: readonly T[], after: number): readonly T[] {
  const gap = entries.findIndex(({ sequence }, index) => sequence !== after + 1 + index);
  return gap === -1 ? entries : entries.slice(0, gap);
}

/** A reader with its place in a log. One `take` at a time. */
class Follower<T extends Sequenced> {
  #sequence: number;
  #taken: readonly T[] = [];
  #isClosed = false;
  /** How many entries it asks for: more as long as they are not too heavy. */
  #ask = FIRST_TAKEN;
  #wake: (() => void) | undefined;
  /** A ring came while `take` was looking: look again before waiting. */
  #wasRung = false;
  readonly #read: (after: number, most: number) => readonly T[] | Promise<readonly T[]>;
  readonly #lighten: (entries: readonly T[]) => readonly T[];
  readonly #closed: () => void;

  constructor(
    sequence: number,
    read: (after: number, most: number) => readonly T[] | Promise<readonly T[]>,
    lighten: (entries: readonly T[]) => readonly T[],
    closed: () => void,
  ) {
    this.#sequence = sequence;
    this.#read = read;
    this.#lighten = lighten;
    this.#closed = closed;
  }

  /** The last entry taken. */
  get sequence(): number {
    return this.#sequence;
  }

  /** What the last `take` returned. */
  get taken(): readonly T[] {
    return this.#taken;
  }

  /** Waits for entries after the last one taken and returns 1 to `most` of them; none once it is closed. */
  async take(most: number): Promise<readonly T[]> {
    while (!this.#isClosed) {
      this.#wasRung = false;
      const asked = Math.min(most, this.#ask);
      const read = this.#read(this.#sequence, asked);
      const found = read instanceof Promise ? await read : read;
      const entries = this.#lighten(found);
      if (entries.length < found.length) this.#ask = entries.length;
      else if (found.length === asked) this.#ask = Math.min(2 * asked, MAX_RECENT);
      if (this.#isClosed) break;
      const last = entries.at(-1);
      if (last) {
        this.#sequence = last.sequence;
        this.#taken = entries;
        return entries;
      }
      if (!this.#wasRung) await new Promise<void>((resolve) => (this.#wake = resolve));
      this.#wake = undefined;
    }
    return [];
  }

  wake(): void {
    this.#wasRung = true;
    this.#wake?.();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#closed();
    this.wake();
  }
}
