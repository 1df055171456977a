interface OfApplication {
  readonly request: { readonly applicationId: string };
}

/** What waits to be stored, each application's in the order it came; applications take turns. */
export class PendingAppends<Pending extends OfApplication> {
  readonly #queues = new Map<string, Pending[]>();

  add(pending: Pending): void {
    const { applicationId } = pending.request;
    const queue = this.#queues.get(applicationId);
    if (queue) queue.push(pending);
    else this.#queues.set(applicationId, [pending]);
  }

  /**
   * Of one application after the other the first that waits, round after round, as long as `accepts` says yes. An
   * application whose first is not accepted keeps its place, and is the first to be asked next time. One whose first is
   * taken `partly` keeps it, and goes behind the others.
   */
  take(accepts: (pending: Pending) => boolean | 'partly'): readonly Pending[] {
    const taken: Pending[] = [];
    // What is added to a map while it is iterated over is visited as well: that is the next round.
    for (const [applicationId, queue] of this.#queues) {
      const [first] = queue;
      const answer = first !== undefined && accepts(first);
      if (first === undefined || answer === false) continue;
      if (answer === true) {
        taken.push(first);
        queue.shift();
      }
      this.#queues.delete(applicationId);
      if (queue.length > 0) this.#queues.set(applicationId, queue);
    }
    return taken;
  }

  /** What waits of an application. */
  of(applicationId: string): readonly Pending[] {
    return this.#queues.get(applicationId) ?? [];
  }

  remove(pending: Pending): void {
    const { applicationId } = pending.request;
    const left = this.of(applicationId).filter((other) => other !== pending);
    if (left.length > 0) this.#queues.set(applicationId, left);
    else this.#queues.delete(applicationId);
  }

  removeOf(applicationId: string): readonly Pending[] {
    const removed = this.of(applicationId);
    this.#queues.delete(applicationId);
    return removed;
  }

  removeAll(): readonly Pending[] {
    const removed = [...this.#queues.values()].flat();
    this.#queues.clear();
    return removed;
  }
}
