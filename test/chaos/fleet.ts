import { setTimeout as pause } from 'node:timers/promises';
import type { Build, HubProcess } from '../support/hub-process';
import type { Exit, HubName, Memory } from './facts';
import { DatabaseProxy } from './proxy';

interface Options {
  readonly build: Build;
  readonly databaseUrl: string;
  readonly databasePort: number;
  readonly redisUrl: string | undefined;
  readonly instances: number;
}

/** A hub that does not come up within so long is started again. */
const START_MS = 30_000;
const AGAIN_MS = 300;
/** A hub that shuts down may wait this long: 10 s for a database that is away, and for what is in flight. */
const SHUTDOWN_MS = 45_000;

/** What a hub may have in memory when all is over: measured after a run are 150 to 230 MB. */
export const MEMORY_BOUND = 400 * 1024 * 1024;

/** The hubs of a run, each in a slot, each with a proxy of its own between it and the database. */
export class Fleet {
  readonly slots: readonly Slot[];
  readonly exits: Exit[] = [];

  static async launch(options: Options): Promise<Fleet> {
    const proxies = await Promise.all(Array.from({ length: options.instances }, () => DatabaseProxy.to(options.databasePort)));
    const fleet = new Fleet(options, proxies);
    // The first one migrates; the others need not wait for a lock.
    for (const slot of fleet.slots) await slot.start();
    return fleet;
  }

  private constructor(options: Options, proxies: readonly DatabaseProxy[]) {
    this.slots = proxies.map((proxy, index) => new Slot(index, proxy, options, this.exits));
  }

  /** As a load balancer knows them: a frozen one looks alive. */
  get urls(): string[] {
    return this.slots.flatMap(({ url }) => url ?? []);
  }

  /** Instances that run, each with what it has in memory. */
  memory(): Promise<Memory[]> {
    return Promise.all(
      this.slots.map(async (slot) => ({ hub: slot.name, residentBytes: await slot.residentMemory(), boundBytes: MEMORY_BOUND })),
    );
  }

  /** Ends everything at once. */
  async end(): Promise<void> {
    await Promise.all(this.slots.map((slot) => slot.kill()));
    await Promise.all(this.slots.map(({ proxy }) => proxy.close()));
  }
}

/** A place for a hub; whoever is killed there is followed by another life. */
export class Slot {
  readonly proxy: DatabaseProxy;
  readonly #index: number;
  readonly #options: Options;
  readonly #exits: Exit[];
  #process: HubProcess | undefined;
  #life = 0;
  #told: Exit['told'] = null;
  #toldAt = 0;
  #isWanted = false;
  /** What all its lives have logged. */
  readonly #logs: string[] = [];

  constructor(index: number, proxy: DatabaseProxy, options: Options, exits: Exit[]) {
    this.#index = index;
    this.proxy = proxy;
    this.#options = options;
    this.#exits = exits;
  }

  get name(): HubName {
    return { slot: this.#index, life: this.#life };
  }

  get url(): string | undefined {
    return this.#process?.url;
  }

  get log(): string {
    return [...this.#logs, this.#process?.log ?? ''].join('');
  }

  /** Tries until a hub serves. */
  async start(): Promise<void> {
    this.#isWanted = true;
    while (this.#isWanted && this.#process === undefined) {
      this.#life++;
      const serving = await this.#serve();
      if (serving) this.#keep(serving);
      else await pause(AGAIN_MS);
      if (!this.#isWanted) await this.kill(); // everything has ended while it came up
    }
  }

  async kill(): Promise<void> {
    this.#isWanted = false;
    this.#told ??= 'SIGKILL';
    this.#toldAt = Date.now();
    await this.#process?.kill('SIGKILL');
  }

  /** Asks it to shut down; one that does not is killed, which its status then tells. */
  async stop(): Promise<void> {
    this.#told = 'SIGTERM';
    this.#toldAt = Date.now();
    const process = this.#process;
    if (process === undefined) return;
    const impatience = setTimeout(() => process.signal('SIGKILL'), SHUTDOWN_MS);
    await process.kill('SIGTERM');
    clearTimeout(impatience);
  }

  freeze(): void {
    this.#process?.signal('SIGSTOP');
  }

  thaw(): void {
    this.#process?.signal('SIGCONT');
  }

  residentMemory(): Promise<number> {
    return this.#process?.residentMemory() ?? Promise.resolve(0);
  }

  async #serve(): Promise<HubProcess | undefined> {
    const { build, databaseUrl, redisUrl } = this.#options;
    const environment = {
      LIVEHOOK_ORIGIN: originOf(this.name),
      ...(redisUrl !== undefined && { REDIS_URL: redisUrl }),
    };
    // While the database is away a hub does not come up: it says so and ends.
    return build.serve(this.proxy.url(databaseUrl), environment, { signal: AbortSignal.timeout(START_MS) }).catch(() => undefined);
  }

  #keep(process: HubProcess): void {
    this.#process = process;
    this.#told = null;
    const hub = this.name;
    void process.ended().then(({ code, signal }) => {
      this.#process = undefined;
      this.#logs.push(process.log);
      const tookMs = Date.now() - this.#toldAt;
      this.#exits.push({ hub, told: this.#told, code: numberOf(code), signal: textOf(signal), tookMs, lastWords: process.log.slice(-500) });
      if (this.#told === null) void this.start(); // as a supervisor would
    });
  }
}

const numberOf = (value: unknown) => (typeof value === 'number' ? value : null);
const textOf = (value: unknown) => (typeof value === 'string' ? value : null);

/** A hub names itself to receivers by its origin, the way CloudEvents have it: so each request tells who sent it. */
export function originOf({ slot, life }: HubName): string {
  return `hub-${slot}-${life}`;
}

export function nameOf(origin: string | undefined): HubName | null {
  const [, slot, life] = /^hub-(\d+)-(\d+)$/.exec(origin ?? '') ?? [];
  return slot === undefined || life === undefined ? null : { slot: Number(slot), life: Number(life) };
}
