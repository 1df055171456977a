import { setTimeout as pause } from 'node:timers/promises';
import fc from 'fast-check';
import { AbusedHub, type Served, type Tenant } from '../support/abused-hub';
import type { Client } from '../support/graphql-client';
import { mutated } from '../support/mutate';
import type { Receiver } from '../support/receiver';

/** Fixed, so that a run says the same every time; fast-check prints it with what failed. FUZZ_SEED and FUZZ_RUNS search further. */
const SEED = Number(process.env.FUZZ_SEED ?? 20_261_121);
const TIMES = Number(process.env.FUZZ_RUNS ?? 1);

if (TIMES > 1) jest.setTimeout(120_000 * TIMES);
/** A property that takes longer than this ends with fewer runs. */
const MAX_MS = 10_000;
const MAX_SHRINKING_MS = 30_000;
/** What a run takes at most that is served: what it waits for has time-outs of a few seconds. */
const MAX_RUN_MS = 60_000;

type Failure = fc.PropertyFailure | fc.PreconditionFailure | null;

/** A hub as a process of its own, with an application whose webhook `/good` must go on getting its events. */
export class FuzzedHub {
  /** What exists and may be named: ids, cursors, URLs. */
  readonly known: string[] = [];
  #published = 0;

  static async start(): Promise<FuzzedHub> {
    const abused = await AbusedHub.start();
    const hub = new FuzzedHub(abused, await abused.tenant('fuzzed'));
    await hub.#furnish();
    hub.#quiet = await abused.inQuiet();
    return hub;
  }

  #quiet: Served | undefined;

  private constructor(
    readonly abused: AbusedHub,
    readonly tenant: Tenant,
  ) {}

  get key(): string {
    return this.tenant.key;
  }

  get client(): Client {
    return this.tenant.client;
  }

  get receiver(): Receiver {
    return this.abused.receiver;
  }

  get url(): string {
    return this.abused.url;
  }

  /**
   * Runs a property so often, or as often as it fits into some seconds; the examples first. Each run has a budget: what
   * `AbusedHub.expectServed` checks.
   */
  async holds<Inputs extends [unknown, ...unknown[]]>(
    property: fc.IAsyncProperty<Inputs>,
    numRuns: number,
    examples: Inputs[] = [],
  ): Promise<void> {
    const run = property.run.bind(property);
    let deadline = performance.now() + MAX_MS * TIMES;
    let hasFailed = false;
    // Not fast-check's own time limit: it lets a run pass that is under way, which is the one that takes too long.
    property.run = async (inputs) => {
      if (performance.now() > deadline) return null;
      const failure = await this.#withinBudget(() => run(inputs));
      if (failure && !hasFailed) deadline = performance.now() + MAX_SHRINKING_MS;
      hasFailed ||= failure !== null;
      return failure;
    };
    await fc.assert(property, { examples, seed: SEED, numRuns: numRuns * TIMES });
  }

  async #withinBudget(run: () => Promise<Failure>): Promise<Failure> {
    await this.abused.process.forgetPeakMemory();
    let failure: Failure = null;
    const served = this.abused.expectServed(async () => {
      failure = await run();
    }, this.#quiet);
    const tooLate = new AbortController();
    try {
      await Promise.race([
        served,
        pause(MAX_RUN_MS, null, { signal: tooLate.signal }).then(() => Promise.reject(new Error(`it took over ${MAX_RUN_MS} ms`))),
      ]);
    } catch (error) {
      served.catch(() => {});
      return failure ?? { error };
    } finally {
      tooLate.abort();
    }
    return failure;
  }

  /** It does its work. */
  async expectHealthy(): Promise<void> {
    const no = ++this.#published;
    const { event } = await mutated<{ event: { id: string } }>(
      this.client,
      'eventPublish',
      { input: { type: 'fuzz.checked', payload: { no } } },
      'event { id }',
    );
    const [request] = (
      await this.receiver.waitFor((requests) => requests.some(({ headers }) => headers['webhook-id'] === event.id), '/good')
    ).filter(({ headers }) => headers['webhook-id'] === event.id);
    expect(request?.verified).toBe(true);
  }

  async stop(): Promise<void> {
    await this.abused.stop();
  }

  async #furnish(): Promise<void> {
    const good = await mutated<{ signingSecret: string }>(
      this.client,
      'webhookCreate',
      { input: { url: this.receiver.url('/good'), eventTypes: ['fuzz.checked'] } },
      'signingSecret',
    );
    this.receiver.trust('/good', good.signingSecret);
    // These may be changed and deleted by a property that finds their ids.
    const { webhook } = await mutated<{ webhook: { id: string } }>(
      this.client,
      'webhookCreate',
      { input: { url: this.receiver.url('/prey'), eventTypes: ['order.*'] } },
      'webhook { id }',
    );
    const { event } = await mutated<{ event: { id: string; cursor: string } }>(
      this.client,
      'eventPublish',
      { input: { type: 'order.created', payload: { no: 1, lines: [{ sku: 'a' }] } } },
      'event { id cursor }',
    );
    await this.receiver.waitFor(1, '/prey');
    const page = await this.client.query<{ deliveries: { nodes: { id: string }[]; pageInfo: { endCursor: string } } }>(
      '{ deliveries { nodes { id } pageInfo { endCursor } } }',
    );
    this.known.push(webhook.id, event.id, event.cursor, page.deliveries.nodes[0]?.id ?? '', page.deliveries.pageInfo.endCursor);
    this.known.push(this.receiver.url('/made'), 'http://127.0.0.1:1/closed');
  }
}
