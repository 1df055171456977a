import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

/** What a helper process can be asked, by name. */
export type Questions = Record<string, (argument: never) => unknown>;

interface Question {
  readonly id: number;
  readonly name: string;
  readonly argument: unknown;
}

type Answer = { readonly id: number } & ({ readonly value: unknown } | { readonly problem: string });

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** A process of its own, so that what it does costs the bench and the hub nothing but its share of the machine. */
export class Helper<Q extends Questions> {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  #asked = 0;

  /** `name` is that of a file in `processes/`. */
  constructor(name: string) {
    this.#child = fork(join(__dirname, 'processes', name), { serialization: 'advanced', execArgv: [] });
    this.#child.on('message', (message) => this.#take(message as Answer));
    this.#child.once('exit', (code, signal) => this.#fail(new Error(`the process ${name} ended with ${code ?? signal}`)));
  }

  get pid(): number {
    const { pid } = this.#child;
    if (pid === undefined) throw new Error('the helper process did not start');
    return pid;
  }

  ask<K extends keyof Q & string>(name: K, argument: Parameters<Q[K]>[0]): Promise<Awaited<ReturnType<Q[K]>>> {
    const id = ++this.#asked;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as Waiting['resolve'], reject });
      this.#child.send({ id, name, argument } satisfies Question, (error) => error && reject(error));
    });
  }

  async end(): Promise<void> {
    this.#waiting.clear();
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await gone;
  }

  #take(answer: Answer): void {
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if ('problem' in answer) waiting?.reject(new Error(answer.problem));
    else waiting?.resolve(answer.value);
  }

  #fail(error: Error): void {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}

/** The other side: answers questions until whoever asks is gone. */
export function answerQuestions(questions: Questions): void {
  process.on('message', async ({ id, name, argument }: Question) => {
    try {
      const value = await questions[name]?.(argument as never);
      process.send?.({ id, value } satisfies Answer);
    } catch (error) {
      process.send?.({ id, problem: (error as Error).stack ?? String(error) } satisfies Answer);
    }
  });
  process.once('disconnect', () => process.exit());
}
