import cluster, { type Worker } from 'node:cluster';
import { type Cancel, type Clock, MINUTE, SECOND } from '../clock';
import type { Started } from '../hub';
import type { Log } from '../log';
import type { FromSibling, ToSibling } from './sibling';

interface Deps {
  readonly count: number;
  /** To listen on; 0: one that is free, the same for all. */
  readonly port: number;
  readonly clock: Clock;
  readonly log: Log;
  /** The first of them serves. */
  readonly started: (started: Started) => void;
}

/** A process that dies is started again after so long, twice as long with each death … */
const FIRST_PAUSE_MS = 1 * SECOND;
const MAX_PAUSE_MS = 30 * SECOND;
/** … until it has served for so long. */
const SOUND_MS = 1 * MINUTE;

/** Of one number there is one process at a time. */
interface Post {
  deaths: number;
  /** Monotonic; undefined until it serves. */
  servesSince: number | undefined;
}

/** How a process ended. */
interface End {
  readonly processPid: number | undefined;
  readonly code: number | null;
  readonly signal: string | null;
  /** Why it could not even be made. */
  readonly error?: string;
}

/** Several hubs, each in a process of its own, on one port: starts them, starts them again, and has them drain. */
export class Processes {
  readonly #deps: Deps;
  readonly #workers = new Map<number, Worker>();
  readonly #posts = new Map<number, Post>();
  readonly #pauses = new Map<number, Cancel>();
  #port: number;
  /** Where they serve; undefined until the first does. */
  #url: string | undefined;
  #isStopping = false;
  #exitCode = 0;
  #end: (exitCode: number) => void = () => {};

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#port = deps.port;
  }

  /** Resolves with the exit code, when the last has ended. One starts when the one before it serves: only one migrates. */
  async run(): Promise<number> {
    const ended = new Promise<number>((resolve) => {
      this.#end = resolve;
    });
    for (let number = 1; number <= this.#deps.count && !this.#isStopping; number++) await this.#start(number);
    return ended;
  }

  /** Has them drain. */
  stop(): void {
    if (this.#isStopping) return;
    this.#isStopping = true;
    for (const cancel of this.#pauses.values()) cancel();
    for (const worker of this.#workers.values()) worker.process.kill('SIGTERM');
    if (this.#workers.size === 0) this.#end(this.#exitCode);
  }

  /** Ends them at once, as a crash would. */
  kill(): void {
    for (const worker of this.#workers.values()) worker.process.kill('SIGKILL');
  }

  /** Resolves when it serves, or has ended before. */
  #start(number: number): Promise<void> {
    // While one of them lives the port 0 means to all the port that it stood for at first; later ones have to name it.
    if (this.#workers.size === 0 && this.#url !== undefined) this.#port = Number(/:(\d+)$/.exec(this.#url)?.[1]);
    const worker = cluster.fork();
    this.#workers.set(number, worker);
    const { pid } = worker.process;
    this.#deps.log.info({ process: number, processPid: pid }, 'process.started');
    tell(worker, { type: 'welcome', number, count: this.#deps.count, port: this.#port });
    return new Promise((resolve) => {
      worker.on('message', (message: FromSibling) => {
        if (message.type === 'started') resolve(this.#served(number, message.started));
        else this.#passOn(number, message);
      });
      worker.once('exit', (code: number | null, signal: string | null) => resolve(this.#ended(number, { processPid: pid, code, signal })));
      worker.on('error', ({ message }: Error) => {
        if (pid === undefined) resolve(this.#ended(number, { processPid: pid, code: null, signal: null, error: message }));
      });
    });
  }

  #served(number: number, started: Started): void {
    const { clock } = this.#deps;
    this.#posts.set(number, { deaths: this.#posts.get(number)?.deaths ?? 0, servesSince: clock.monotonic() });
    if (this.#url !== undefined) return;
    this.#url = started.url;
    this.#deps.started(started);
  }

  /** Questions go to all others, an answer to the one that asked. */
  #passOn(from: number, message: Exclude<FromSibling, { type: 'started' }>): void {
    for (const [number, worker] of this.#workers)
      if (message.type === 'ask' ? number !== from : number === message.to) tell(worker, { ...message, from });
  }

  #ended(number: number, end: End): void {
    this.#workers.delete(number);
    if (this.#url === undefined && !this.#isStopping) {
      this.#isStopping = true; // the first cannot start, so none can
      this.#exitCode = end.code ?? 1;
    } else if (this.#isStopping)
      this.#exitCode ||= end.code ?? (end.signal === 'SIGTERM' ? 0 : 1); // too young to drain: nothing to drain
    else this.#startAgain(number, end);
    if (this.#isStopping && this.#workers.size === 0) this.#end(this.#exitCode);
  }

  #startAgain(number: number, end: End): void {
    const { clock, log } = this.#deps;
    const { deaths: earlier = 0, servesSince } = this.#posts.get(number) ?? {};
    const deaths = servesSince !== undefined && clock.monotonic() - servesSince > SOUND_MS ? 1 : earlier + 1;
    this.#posts.set(number, { deaths, servesSince: undefined });
    const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** (deaths - 1), MAX_PAUSE_MS);
    log.warn({ process: number, ...end, startsAgainInMs: pauseMs }, 'process.died');
    const cancel = clock.after(pauseMs, () => void this.#start(number), true);
    this.#pauses.set(number, cancel);
  }
}

/** One that is about to end hears nothing any more. */
function tell(worker: Worker, message: ToSibling): void {
  worker.send(message, undefined, () => {});
}
