import { SECOND } from '../clock';
import { FairShare } from '../fair-share';

/** A request may be sent, and has at most so long for it. */
export interface Slot {
  readonly timeoutMs: number;
  release(): void;
}

interface Limits {
  /** Of one holder, such as a webhook. */
  readonly mostOfOne: number;
  /** In all; divided between applications. */
  readonly most: number;
}

/** Of the last quarter of all slots a request has no longer than this: somebody may be waiting who has none. */
const MAX_TIMEOUT_MS_WHEN_SCARCE = 5 * SECOND;

/** How many requests that somebody waits for may be under way at once: of one holder, of its application, and of all. */
export class Slots {
  readonly #mostOfOne: number;
  readonly #share: FairShare;
  readonly #taken = new Map<string, number>();

  constructor({ mostOfOne, most }: Limits) {
    this.#mostOfOne = mostOfOne;
    this.#share = new FairShare(most);
  }

  /** A slot for a request that would have `timeoutMs`, or which limit stands in the way. */
  take(holder: string, applicationId: string, timeoutMs: number): Slot | 'holder' | 'application' {
    const taken = this.#taken.get(holder) ?? 0;
    if (taken >= this.#mostOfOne) return 'holder';
    const isScarce = this.#share.free <= this.#share.most / 4;
    if (!this.#share.take(applicationId, 1)) return 'application';
    this.#taken.set(holder, taken + 1);
    return {
      timeoutMs: isScarce ? Math.min(timeoutMs, MAX_TIMEOUT_MS_WHEN_SCARCE) : timeoutMs,
      release: () => this.#release(holder, applicationId),
    };
  }

  #release(holder: string, applicationId: string): void {
    const left = (this.#taken.get(holder) ?? 0) - 1;
    if (left > 0) this.#taken.set(holder, left);
    else this.#taken.delete(holder);
    this.#share.giveBack(applicationId, 1);
  }
}
