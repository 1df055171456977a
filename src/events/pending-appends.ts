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
   * application whose first is not accepted keeps its place, and is the first to be asked next time.
   */
  take(accepts: (pending: Pending) => boolean): readonly Pending[] {
    const taken: Pending[] = [];
    // What is added to a map while it is iterated over is visited as well: that is the next round.
    for (const [applicationId, queue] of this.#queues) {
      const [first] = queue;
      if (first === undefined || !accepts(first)) continue;
      taken.push(first);
      queue.shift();
      this.#queues.delete(applicationId);
      if (queue.length > 0) this.#queues.set(applicationId, queue);
    }
    return taken;
  }
}
