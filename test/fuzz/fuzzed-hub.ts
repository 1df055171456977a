import fc from 'fast-check';
import { createSqliteDatabase } from '../support/databases';
import { Client } from '../support/graphql-client';
import { Build, HubProcess } from '../support/hub-process';
import type { TestDatabase } from '../support/mariadb';
import { mutated } from '../support/mutate';
import { Receiver } from '../support/receiver';
import { ADMIN_KEY } from '../support/with-hub';

/** Fixed, so that a run says the same every time; fast-check prints it with what failed. FUZZ_SEED and FUZZ_RUNS search further. */
const SEED = Number(process.env.FUZZ_SEED ?? 20_261_121);
const TIMES = Number(process.env.FUZZ_RUNS ?? 1);

/** Runs a property so often, or as often as it fits into some seconds; the examples first. */
export async function holds<Inputs extends [unknown, ...unknown[]]>(
  property: fc.IAsyncProperty<Inputs>,
  numRuns: number,
  examples: Inputs[] = [],
): Promise<void> {
  await fc.assert(property, {
    examples,
    seed: SEED,
    numRuns: numRuns * TIMES,
    interruptAfterTimeLimit: 20_000 * TIMES,
    endOnFailure: true,
  });
}

/** A hub as a process of its own, with an application whose webhook `/good` must go on getting its events. */
export class FuzzedHub {
  readonly admin: Client;
  /** What exists and may be named: ids, cursors, URLs. */
  readonly known: string[] = [];
  readonly #undo: (() => Promise<unknown>)[] = [];
  #published = 0;

  static async start(): Promise<FuzzedHub> {
    const build = await Build.make();
    const database: TestDatabase = await createSqliteDatabase();
    const receiver = await Receiver.listen();
    const process = await build.serve(database.url, { LIVEHOOK_LOG_LEVEL: 'warn' });
    const hub = new FuzzedHub(process, receiver);
    hub.#undo.push(
      () => process.kill('SIGTERM'),
      () => receiver.close(),
      () => database.drop(),
      () => build.remove(),
    );
    await hub.#furnish();
    return hub;
  }

  key = '';
  client: Client;

  private constructor(
    readonly process: HubProcess,
    readonly receiver: Receiver,
  ) {
    this.admin = new Client(process.url, ADMIN_KEY);
    this.client = this.admin;
  }

  get url(): string {
    return this.process.url;
  }

  /** It lives, has seen no fault of its own, and does its work. */
  async expectHealthy(): Promise<void> {
    expect(this.process.hasExited).toBe(false);
    expect(this.process.log.split('\n').filter((line) => /fault|unhandled|uncaught|"level":(50|60)/i.test(line))).toEqual([]);
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
    for (const step of this.#undo) await step();
  }

  async #furnish(): Promise<void> {
    const { application } = await mutated<{ application: { id: string } }>(
      this.admin,
      'applicationCreate',
      { input: { name: 'fuzzed' } },
      'application { id }',
    );
    const { token } = await mutated<{ token: string }>(this.admin, 'apiKeyCreate', { input: { applicationId: application.id } }, 'token');
    this.key = token;
    this.client = new Client(this.url, token);
    const good = await mutated<{ signingSecret: string }>(
      this.client,
      'webhookCreate',
      { input: { url: this.receiver.url('/good'), eventTypes: ['fuzz.checked'] } },
      'signingSecret',
    );
    this.receiver.trust('/good', good.signingSecret);
    // These may be changed and deleted by whoever finds their ids.
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
