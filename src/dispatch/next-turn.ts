import type { Lane } from './lane';

/** Lanes that go on in the next turn of the event loop: one of each application in rotation, each application's in the order they came. */
export class NextTurn {
  readonly #byApplication = new Map<string, Set<Lane>>();

  get isEmpty(): boolean {
    return this.#byApplication.size === 0;
  }

  add(lane: Lane): void {
    const { applicationId } = lane.webhook;
    const lanes = this.#byApplication.get(applicationId);
    if (lanes) lanes.add(lane);
    else this.#byApplication.set(applicationId, new Set([lane]));
  }

  /** The next lane; its application's others come after those of all other applications. */
  take(): Lane | undefined {
    for (const [applicationId, lanes] of this.#byApplication) {
      this.#byApplication.delete(applicationId);
      const [lane] = lanes;
      if (lane === undefined) continue;
      lanes.delete(lane);
      if (lanes.size > 0) this.#byApplication.set(applicationId, lanes);
      return lane;
    }
    return undefined;
  }
}
