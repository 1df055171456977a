import type { Job } from '../job';

/** Jobs, first in, first out. */
export class JobList {
  #jobs: Job[] = [];
  /** Index of the first job: shifting a long array would move all of it. */
  #first = 0;

  get length(): number {
    return this.#jobs.length - this.#first;
  }

  push(job: Job): void {
    this.#jobs.push(job);
  }

  shift(): Job | undefined {
    const job = this.#jobs[this.#first];
    if (job === undefined) return undefined;
    this.#first++;
    if (this.#first > 64 && this.#first * 2 > this.#jobs.length) {
      this.#jobs = this.#jobs.slice(this.#first);
      this.#first = 0;
    }
    return job;
  }

  take(isWanted: (job: Job) => boolean): Job[] {
    const taken: Job[] = [];
    const kept: Job[] = [];
    for (let index = this.#first; index < this.#jobs.length; index++) {
      const job = this.#jobs[index];
      if (job) (isWanted(job) ? taken : kept).push(job);
    }
    if (taken.length > 0) {
      this.#jobs = kept;
      this.#first = 0;
    }
    return taken;
  }

  some(isWanted: (job: Job) => boolean): boolean {
    for (let index = this.#first; index < this.#jobs.length; index++) {
      const job = this.#jobs[index];
      if (job && isWanted(job)) return true;
    }
    return false;
  }
}
