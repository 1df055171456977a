import { extname, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { type Cancel, type Clock, SECOND } from '../clock';
import { HubError } from '../errors';
import type { Log } from '../log';
import { TurnQueues } from '../turn-queues';
import type { SchemaAnswer, SchemaTask } from './schema-worker';

/** One application has one at most, so that one whose schemas hang leaves others to the rest. */
const MAX_WORKERS = 3;
/** Of a check, compiling included. Ordinary schemas take less than a millisecond. */
const MAX_CHECK_MS = 3 * SECOND;
/** Of all checks for one publish. */
const MAX_CHECKS_MS_PER_PUBLISH = 6 * SECOND;
const MAX_WAITING_PER_APPLICATION = 1_000;
const MAX_WAIT_MS = 10 * SECOND;
const RETRY_AFTER_SECONDS = 1;
/** Compiling the largest schema takes some 30 MB, a payload of 1 MiB some 20. */
const RESOURCE_LIMITS = { maxOldGenerationSizeMb: 96, maxYoungGenerationSizeMb: 16, stackSizeMb: 4 };

/** Time that the checks of one publish may take together. */
export class CheckAllowance {
  leftMs: number = MAX_CHECKS_MS_PER_PUBLISH;
}

interface Waiting {
  readonly applicationId: string;
  readonly task: SchemaTask;
  readonly allowance: CheckAllowance;
  readonly since: number;
  readonly answer: (answer: SchemaAnswer) => void;
  readonly refuse: (error: HubError) => void;
}

interface Deps {
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Threads for what could hold the event loop: they are ended when they take too long. Applications take turns, and each
 * has one thread at most.
 */
export class SchemaPool {
  readonly #deps: Deps;
  readonly #idle: SchemaThread[] = [];
  readonly #all = new Set<SchemaThread>();
  readonly #waiting = new TurnQueues<Waiting>();
  readonly #served = new Set<string>();
  #isStopped = false;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** @throws HubError RATE_LIMITED when too many checks of the application wait already */
  run(applicationId: string, task: SchemaTask, allowance = new CheckAllowance()): Promise<SchemaAnswer> {
    if (this.#waiting.of(applicationId).length >= MAX_WAITING_PER_APPLICATION) throw tooManyChecks();
    return new Promise((answer, refuse) => {
      this.#waiting.add(applicationId, { applicationId, task, allowance, since: this.#deps.clock.monotonic(), answer, refuse });
      this.#next();
    });
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all([...this.#all].map((thread) => thread.end()));
  }

  #next(): void {
    while (this.#served.size < MAX_WORKERS && !this.#isStopped) {
      const next = this.#waiting.next(({ applicationId }) => !this.#served.has(applicationId));
      if (next === undefined) return;
      void this.#serve(next);
    }
  }

  async #serve(waiting: Waiting): Promise<void> {
    const { applicationId } = waiting;
    this.#served.add(applicationId);
    try {
      if (this.#deps.clock.monotonic() - waiting.since > MAX_WAIT_MS) waiting.refuse(tooManyChecks());
      else if (waiting.allowance.leftMs <= 0)
        waiting.answer({ failed: `the events before it took all ${MAX_CHECKS_MS_PER_PUBLISH / SECOND} s that one publish may take` });
      else waiting.answer(await this.#check(waiting));
    } finally {
      this.#served.delete(applicationId);
      this.#next();
    }
  }

  async #check({ applicationId, task, allowance }: Waiting): Promise<SchemaAnswer> {
    const { clock, log } = this.#deps;
    const thread = this.#take();
    await thread.isReady;
    const startedAt = clock.monotonic();
    const answer = await thread.ask(task);
    allowance.leftMs -= clock.monotonic() - startedAt;
    if (thread.hasEnded) log.warn({ applicationId, why: 'failed' in answer ? answer.failed : '' }, 'schema.ended');
    else this.#idle.push(thread);
    return answer;
  }

  #take(): SchemaThread {
    for (let idle = this.#idle.pop(); idle; idle = this.#idle.pop()) if (!idle.hasEnded) return idle;
    return this.#start();
  }

  #start(): SchemaThread {
    const thread = new SchemaThread(this.#deps.clock);
    this.#all.add(thread);
    thread.whenEnded(() => this.#all.delete(thread));
    return thread;
  }
}

function tooManyChecks(): HubError {
  return new HubError('RATE_LIMITED', 'Too many events wait to be checked against schemas that take long.', RETRY_AFTER_SECONDS);
}

/** One thread, which is asked one thing at a time. */
class SchemaThread {
  readonly #clock: Clock;
  readonly #worker: Worker;
  /** It has loaded what it needs, or has failed. */
  readonly isReady: Promise<void>;
  hasEnded = false;
  #answer: ((answer: SchemaAnswer) => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
    // Beside this file, as built or as source: tests run the sources through a hook.
    const file = join(__dirname, `schema-worker${extname(__filename)}`);
    this.#worker = new Worker(file, { resourceLimits: RESOURCE_LIMITS, execArgv: preloads(process.execArgv), env: {} });
    this.#worker.unref();
    this.isReady = new Promise((ready) => {
      this.#worker.on('message', (message: SchemaAnswer | 'ready') => (message === 'ready' ? ready() : this.#settle(message)));
      this.#worker.on('error', (error: NodeJS.ErrnoException) => {
        this.hasEnded = true;
        this.#settle({ failed: error.code === 'ERR_WORKER_OUT_OF_MEMORY' ? 'it took too much memory' : `it failed: ${error.message}` });
      });
      this.#worker.on('exit', () => {
        this.hasEnded = true;
        this.#settle({ failed: 'the hub is stopping' });
        ready();
      });
    });
  }

  whenEnded(step: () => void): void {
    this.#worker.on('exit', step);
  }

  async ask(task: SchemaTask): Promise<SchemaAnswer> {
    if (this.hasEnded) return { failed: 'its thread did not start' };
    const answer = new Promise<SchemaAnswer>((resolve) => {
      this.#answer = resolve;
    });
    const cancel: Cancel = this.#clock.after(MAX_CHECK_MS, () => {
      this.hasEnded = true;
      this.#settle({ failed: `it took over ${MAX_CHECK_MS / SECOND} s` });
      void this.end();
    });
    this.#worker.ref(); // somebody waits for the answer
    this.#worker.postMessage(task);
    try {
      return await answer;
    } finally {
      cancel();
      this.#worker.unref();
    }
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }

  #settle(answer: SchemaAnswer): void {
    this.#answer?.(answer);
    this.#answer = undefined;
  }
}

/** The `--require` options of a process, which a thread needs as well; others it may not be given. */
function preloads(execArgv: readonly string[]): string[] {
  return execArgv.flatMap((option, index) => {
    const next = execArgv[index + 1];
    return (option === '--require' || option === '-r') && next !== undefined ? ['--require', next] : [];
  });
}
