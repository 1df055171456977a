import cluster from 'node:cluster';
import { once } from 'node:events';
import { type Clock, SECOND } from '../clock';
import type { Started } from '../hub';

/** What the process that starts the others says to one of them. */
export type ToSibling =
  | { readonly type: 'welcome'; readonly number: number; readonly count: number; readonly port: number }
  | ({ readonly from: number } & (Ask | Answer));

/** What it hears from them. */
export type FromSibling = { readonly type: 'started'; readonly started: Started } | Ask | Answer;

interface Ask {
  readonly type: 'ask';
  readonly question: number;
}

interface Answer {
  readonly type: 'answer';
  readonly to: number;
  readonly question: number;
  readonly metrics: string;
}

/** A hub whose database hangs answers after one second. */
const PATIENCE_MS = 2 * SECOND;

/** This process, as one of several that serve one port. */
export class Sibling {
  readonly number: number;
  /** To listen on. */
  readonly port: number;
  readonly #others: number;
  readonly #clock: Clock;
  #question = 0;
  #heard: (answer: Answer & { readonly from: number }) => void = () => {};
  #asking: Promise<readonly string[]> | undefined;

  /** Resolves when the process that started this one has said which it is. */
  static async join(clock: Clock): Promise<Sibling> {
    const [message] = (await once(process, 'message')) as [ToSibling];
    if (message.type !== 'welcome') throw new Error(`expected a welcome from the process that started this one, got ${message.type}`);
    return new Sibling(message, clock);
  }

  private constructor({ number, count, port }: ToSibling & { type: 'welcome' }, clock: Clock) {
    this.number = number;
    this.port = port;
    this.#others = count - 1;
    this.#clock = clock;
  }

  /** It serves: says so, and answers the others from now on. */
  started(started: Started, ownMetrics: () => Promise<string>): void {
    say({ type: 'started', started });
    process.on('message', (message: ToSibling) => {
      if (message.type === 'answer') this.#heard(message);
      if (message.type !== 'ask') return;
      const { from: to, question } = message;
      ownMetrics().then(
        (metrics) => say({ type: 'answer', to, question, metrics }),
        () => {}, // counts as no answer
      );
    });
  }

  /** Resolves when the process that started this one is gone, and the port with it: what is left is to drain. */
  orphaned(): Promise<void> {
    return new Promise((resolve) => {
      cluster.worker?.once('disconnect', () => {
        if (cluster.worker) cluster.worker.exitedAfterDisconnect = true; // otherwise node:cluster exits in the midst of things
        resolve();
      });
    });
  }

  /** What the others' metrics say. However many scrape at once, they are asked once. */
  readonly ask = (): Promise<readonly string[]> => {
    this.#asking ??= this.#gather().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  };

  #gather(): Promise<readonly string[]> {
    const question = ++this.#question;
    const answers = new Map<number, string>();
    return new Promise((resolve) => {
      const done = () => {
        cancel();
        resolve([...answers].sort(([a], [b]) => a - b).map(([, metrics]) => metrics));
      };
      const cancel = this.#clock.after(PATIENCE_MS, done);
      this.#heard = (answer) => {
        if (answer.question !== question) return;
        answers.set(answer.from, answer.metrics);
        if (answers.size === this.#others) done();
      };
      say({ type: 'ask', question });
    });
  }
}

/** The other end may be gone, which `disconnect` tells. */
function say(message: FromSibling): void {
  process.send?.(message, undefined, undefined, () => {});
}
