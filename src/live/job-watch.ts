import { Stream } from './stream';

/** What is watched: something that changes, a version at a time, until it is finished. */
export interface Watchable {
  readonly id: string;
  readonly version: number;
  readonly completedAt: Date | null;
}

interface Watcher<Job> {
  latest: Job;
  wake: () => void;
  close: () => void;
}

/** Jobs as they come further. A watcher holds the latest state and no queue: a slow one skips what is between. */
export class JobWatch<Job extends Watchable> {
  readonly #watchers = new Map<string, Set<Watcher<Job>>>();
  readonly #read: (ids: readonly string[]) => Promise<readonly Job[]>;

  constructor(read: (ids: readonly string[]) => Promise<readonly Job[]>) {
    this.#read = read;
  }

  /** The job as it is, then each later state, up to the one in which it is finished. */
  follow(job: Job): Stream<Job> {
    let seen = -1;
    let isClosed = false;
    const watcher: Watcher<Job> = {
      latest: job,
      wake: () => {},
      close: () => {
        isClosed = true;
        watcher.wake();
      },
    };
    const watchers = this.#watchers.get(job.id) ?? new Set<Watcher<Job>>();
    this.#watchers.set(job.id, watchers.add(watcher));
    const step = async (): Promise<Job | undefined> => {
      if (seen === watcher.latest.version && watcher.latest.completedAt !== null) return undefined;
      while (!isClosed && seen === watcher.latest.version) await new Promise<void>((resolve) => (watcher.wake = resolve));
      if (isClosed) return undefined;
      seen = watcher.latest.version;
      return watcher.latest;
    };
    return new Stream(step, () => {
      watcher.close();
      watchers.delete(watcher);
      if (watchers.size === 0 && this.#watchers.get(job.id) === watchers) this.#watchers.delete(job.id);
    });
  }

  /** A job has come further, says the replayer of this instance. */
  changed(job: Job): void {
    for (const watcher of this.#watchers.get(job.id) ?? [])
      if (job.version > watcher.latest.version) {
        watcher.latest = job;
        watcher.wake();
      }
  }

  /** Looks how far the watched jobs have come at other instances. */
  async refresh(): Promise<void> {
    const ids = [...this.#watchers.keys()];
    for (let start = 0; start < ids.length; start += 500)
      for (const job of await this.#read(ids.slice(start, start + 500))) this.changed(job);
  }

  /** Ends every stream. */
  close(): void {
    for (const watchers of this.#watchers.values()) for (const watcher of watchers) watcher.close();
  }
}
