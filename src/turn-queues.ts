/** What waits, each owner's in the order it came; owners take turns. */
export class TurnQueues<Item> {
  /** Owners in the order of their turns. */
  readonly #queues = new Map<string, Item[]>();

  get isEmpty(): boolean {
    return this.#queues.size === 0;
  }

  add(owner: string, item: Item): void {
    const queue = this.#queues.get(owner);
    if (queue) queue.push(item);
    else this.#queues.set(owner, [item]);
  }

  /**
   * Of one owner after the other the first that waits, round after round, as long as `accepts` says yes. An owner whose
   * first is not accepted keeps its place, and is the first to be asked next time. One whose first is taken `partly`
   * keeps it, and goes behind the others.
   */
  take(accepts: (item: Item, owner: string) => boolean | 'partly', most = Number.POSITIVE_INFINITY): readonly Item[] {
    const taken: Item[] = [];
    // What is added to a map while it is iterated over is visited as well: that is the next round.
    for (const [owner, queue] of this.#queues) {
      const [first] = queue;
      const answer = first !== undefined && accepts(first, owner);
      if (first === undefined || answer === false) continue;
      if (answer === true) {
        taken.push(first);
        queue.shift();
      }
      this.#queues.delete(owner);
      if (queue.length > 0) this.#queues.set(owner, queue);
      if (taken.length >= most) break;
    }
    return taken;
  }

  /** The first of the first owner whose turn it is and who may have it. */
  next(accepts: (item: Item, owner: string) => boolean = () => true): Item | undefined {
    return this.take(accepts, 1)[0];
  }

  /** What waits of an owner. */
  of(owner: string): readonly Item[] {
    return this.#queues.get(owner) ?? [];
  }

  remove(owner: string, item: Item): void {
    const left = this.of(owner).filter((other) => other !== item);
    if (left.length > 0) this.#queues.set(owner, left);
    else this.#queues.delete(owner);
  }

  removeOf(owner: string): readonly Item[] {
    const removed = this.of(owner);
    this.#queues.delete(owner);
    return removed;
  }

  removeAll(): readonly Item[] {
    const removed = [...this.#queues.values()].flat();
    this.#queues.clear();
    return removed;
  }
}
