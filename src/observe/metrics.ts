import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { REFUSALS as KEY_REFUSALS } from '../applications/api-keys';
import { AttemptOutcome } from '../attempts/attempt';
import { HUB_ERRORS, UserErrorCode } from '../errors';
import { VERSION } from '../version';
import { mergeExpositions } from './merge-expositions';

/** What the hub looks like at the moment somebody asks. */
export interface Reading {
  readonly inFlight: number;
  readonly queued: number;
  /** What is in memory of deliveries, in bytes. */
  readonly bytes: number;
  readonly waiting: number;
  readonly oldestDueSeconds: number;
  readonly isDatabaseUp: boolean;
  readonly settleWaiting: number;
  readonly publishesPending: number;
  readonly webSockets: number;
  readonly eventStreams: number;
  readonly followers: number;
  readonly unsentBytes: number;
  readonly instances: number;
  readonly isLeaseHeld: boolean;
  readonly leaseAgeSeconds: number;
}

/** Waiting deliveries are counted no further than this: the count reads as many rows of an index. */
export const MAX_COUNTED = 100_000;
/** Webhooks that are asked for their oldest due delivery. */
export const MAX_WEBHOOKS_ASKED = 1_000;

/** What an operation can be ended for. */
const BUDGETS = ['fields', 'rows', 'bytes', 'read', 'searched', 'unsent'];

/** What a publish can be answered with instead of its event. */
const REFUSALS = [...Object.keys(HUB_ERRORS), ...Object.values(UserErrorCode), 'GRAPHQL_VALIDATION_FAILED', 'INTERNAL_SERVER_ERROR'];

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const LONG_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600];
const ROWS = [1, 2, 5, 10, 20, 50, 100, 200, 300, 500, 1000];

const COUNTERS = {
  accepted: { name: 'livehook_events_accepted_total', help: "Publishers' events stored." },
  deduplicated: { name: 'livehook_events_deduplicated_total', help: 'Events that were there already, under the same idempotency key.' },
  refused: {
    name: 'livehook_events_refused_total',
    help: 'Events that were not stored, by the code that their publisher was answered.',
    labelNames: ['code'],
  },
  keysRefused: {
    name: 'livehook_keys_refused_total',
    help: 'Requests whose key was refused, by why: unknown, expired, revoked, or not from its networks.',
    labelNames: ['reason'],
  },
  attempts: {
    name: 'livehook_attempts_total',
    help: 'Attempts written down, by how they ended: SUCCESS, or the cause of the failure.',
    labelNames: ['outcome'],
  },
  succeeded: { name: 'livehook_deliveries_succeeded_total', help: 'Deliveries that arrived.' },
  budgetExceeded: {
    name: 'livehook_operations_over_budget_total',
    help: 'Operations and messages of streams that were ended for what they took: fields, rows or bytes of the answer, bytes read for it, or bytes unsent.',
    labelNames: ['reason'],
  },
  failed: { name: 'livehook_deliveries_failed_total', help: 'Deliveries given up after their last attempt.' },
} as const;

const HISTOGRAMS = {
  commitSeconds: { name: 'livehook_commit_seconds', help: 'How long storing a batch of events took.', buckets: SECONDS },
  commitEvents: { name: 'livehook_commit_events', help: "Events stored in one commit, the hub's own included.", buckets: ROWS },
  settleSeconds: { name: 'livehook_settle_seconds', help: 'How long writing a batch of attempts down took.', buckets: SECONDS },
  settleAttempts: { name: 'livehook_settle_attempts', help: 'Attempts written down in one commit.', buckets: ROWS },
  dispatchDelay: {
    name: 'livehook_dispatch_delay_seconds',
    help: 'From storing an event to the start of its first attempt, by delivery.',
    buckets: LONG_SECONDS,
  },
} as const;

interface Committed {
  readonly events: number;
  /** Without the hub's own. */
  readonly accepted: number;
  readonly deduplicated: number;
  readonly durationMs: number;
}

interface GaugeDefinition {
  readonly name: string;
  readonly help: string;
  readonly read: (reading: Reading) => number;
}

const GAUGES: readonly GaugeDefinition[] = [
  { name: 'livehook_dispatch_in_flight', help: 'Requests to receivers under way.', read: ({ inFlight }) => inFlight },
  {
    name: 'livehook_dispatch_queued',
    help: "Deliveries in this instance's memory that wait for their turn.",
    read: ({ queued }) => queued,
  },
  {
    name: 'livehook_dispatch_bytes',
    help: 'Memory that deliveries are taken to need: promised, queued, in flight, being written down.',
    read: ({ bytes }) => bytes,
  },
  {
    name: 'livehook_deliveries_waiting',
    help: `Deliveries that wait in the database, owned by no instance: retries, backlog, what is paused. Counted up to ${MAX_COUNTED}. The same on every instance.`,
    read: ({ waiting }) => waiting,
  },
  {
    name: 'livehook_deliveries_oldest_due_seconds',
    help: `For how long the oldest of them has been due, of webhooks that are active and unordered; the first ${MAX_WEBHOOKS_ASKED} with anything waiting are asked. The same on every instance.`,
    read: ({ oldestDueSeconds }) => oldestDueSeconds,
  },
  {
    name: 'livehook_settle_waiting',
    help: 'Attempts that have ended and wait to be written down.',
    read: ({ settleWaiting }) => settleWaiting,
  },
  {
    name: 'livehook_publishes_pending',
    help: 'Events that wait to be stored. Beyond 20,000 publishers are told to slow down.',
    read: ({ publishesPending }) => publishesPending,
  },
  { name: 'livehook_live_followers', help: 'Places in the logs that live subscriptions read from.', read: ({ followers }) => followers },
  {
    name: 'livehook_unsent_bytes',
    help: 'Of answers and messages that are being made, or that clients have not read yet.',
    read: ({ unsentBytes }) => unsentBytes,
  },
  { name: 'livehook_instances', help: 'Instances alive, as this one sees it.', read: ({ instances }) => instances },
  { name: 'livehook_lease_held', help: '1 while this instance may send.', read: ({ isLeaseHeld }) => Number(isLeaseHeld) },
  {
    name: 'livehook_lease_age_seconds',
    help: 'Since the last heartbeat that was written; from 9 s on the lease is lost.',
    read: ({ leaseAgeSeconds }) => leaseAgeSeconds,
  },
  { name: 'livehook_database_up', help: '1 when the database answered the last look.', read: ({ isDatabaseUp }) => Number(isDatabaseUp) },
];

const LABELLED = {
  subscribers: { name: 'livehook_subscribers', help: 'Connections that live subscribers hold open.', labelNames: ['transport'] },
  build: { name: 'livehook_build_info', help: '1; the label says which version runs.', labelNames: ['version'] },
} as const;

/** Every metric of the hub's own, as README.md beside this file lists them. */
export function metricLines(): readonly { readonly name: string; readonly type: string; readonly labels: readonly string[] }[] {
  const lines = (type: string, definitions: Iterable<{ readonly name: string; readonly labelNames?: readonly string[] }>) =>
    [...definitions].map(({ name, labelNames: labels = [] }) => ({ name, type, labels }));
  return [
    ...lines('counter', Object.values(COUNTERS)),
    ...lines('histogram', Object.values(HISTOGRAMS)),
    ...lines('gauge', [...GAUGES, ...Object.values(LABELLED)]),
  ];
}

/** Processes that share a port: a scrape reaches any of them, and that one says what all have counted. */
export interface Siblings {
  /** Of this process, from 1 on: the label `process` of all that it counts. The one that replaces it has the same. */
  readonly number: number;
  /** What the others say for themselves; those that don't answer in time are left out. */
  readonly ask: () => Promise<readonly string[]>;
}

/** CPU, memory, event loop and garbage collection are the process's, however many hubs are in it. */
let ofProcess: Registry | undefined;
function processRegistry(): Registry {
  if (ofProcess === undefined) {
    ofProcess = new Registry();
    collectDefaultMetrics({ register: ofProcess });
  }
  return ofProcess;
}

/** What `/metrics` says. Work is counted a batch at a time; the rest is read when somebody asks. No label names a tenant. */
export class Metrics {
  readonly #read: () => Promise<Reading>;
  readonly #registry = new Registry();
  readonly #counters: Readonly<Record<keyof typeof COUNTERS, Counter>>;
  readonly #histograms: Readonly<Record<keyof typeof HISTOGRAMS, Histogram>>;
  readonly #gauges: readonly { readonly gauge: Gauge; readonly read: GaugeDefinition['read'] }[];
  readonly #subscribers: Gauge;
  readonly #siblings: Siblings | undefined;

  constructor(read: () => Promise<Reading>, siblings?: Siblings) {
    this.#read = read;
    this.#siblings = siblings;
    if (siblings)
      for (const registry of [this.#registry, processRegistry()]) registry.setDefaultLabels({ process: String(siblings.number) });
    const registers = [this.#registry];
    this.#counters = mapped(COUNTERS, (definition) => new Counter({ ...definition, registers }));
    this.#histograms = mapped(
      HISTOGRAMS,
      ({ buckets, ...definition }) => new Histogram({ ...definition, buckets: [...buckets], registers }),
    );
    this.#gauges = GAUGES.map(({ read: readGauge, ...definition }) => ({
      gauge: new Gauge({ ...definition, registers }),
      read: readGauge,
    }));
    this.#subscribers = new Gauge({ ...LABELLED.subscribers, registers });
    // A series that begins with its first failure has no rate yet: those of all known causes begin at 0.
    for (const outcome of Object.values(AttemptOutcome)) this.attempted(outcome, 0);
    for (const code of REFUSALS) this.refused(code, 0);
    for (const reason of KEY_REFUSALS) this.#counters.keysRefused.inc({ reason }, 0);
    for (const reason of BUDGETS) this.budgetExceeded(reason, 0);
    new Gauge({ ...LABELLED.build, registers }).set({ version: VERSION }, 1);
  }

  committed({ events, accepted, deduplicated, durationMs }: Committed): void {
    this.#counters.accepted.inc(accepted);
    this.#counters.deduplicated.inc(deduplicated);
    this.#histograms.commitSeconds.observe(durationMs / 1_000);
    this.#histograms.commitEvents.observe(events);
  }

  refused(code: string, events: number): void {
    this.#counters.refused.inc({ code }, events);
  }

  keyRefused(reason: string): void {
    this.#counters.keysRefused.inc({ reason });
  }

  budgetExceeded(reason: string, operations = 1): void {
    this.#counters.budgetExceeded.inc({ reason }, operations);
  }

  attemptsSettled({ attempts, durationMs }: { attempts: number; durationMs: number }): void {
    this.#histograms.settleSeconds.observe(durationMs / 1_000);
    this.#histograms.settleAttempts.observe(attempts);
  }

  attempted(outcome: string, attempts: number): void {
    this.#counters.attempts.inc({ outcome }, attempts);
  }

  completed({ succeeded, failed }: { succeeded: number; failed: number }): void {
    this.#counters.succeeded.inc(succeeded);
    this.#counters.failed.inc(failed);
  }

  dispatchedAfter(delayMs: number): void {
    this.#histograms.dispatchDelay.observe(delayMs / 1_000);
  }

  /** In Prometheus' text format: what this process says, and its siblings. */
  async exposition(): Promise<{ contentType: string; content: string }> {
    const [own, others] = await Promise.all([this.own(), this.#siblings?.ask() ?? []]);
    const content = others.length > 0 ? mergeExpositions([own, ...others]) : own;
    return { contentType: this.#registry.contentType, content };
  }

  /** What this process says for itself. */
  async own(): Promise<string> {
    const reading = await this.#read();
    for (const { gauge, read } of this.#gauges) gauge.set(read(reading));
    this.#subscribers.set({ transport: 'websocket' }, reading.webSockets);
    this.#subscribers.set({ transport: 'sse' }, reading.eventStreams);
    const parts = await Promise.all([this.#registry.metrics(), processRegistry().metrics()]);
    return parts.join('\n');
  }
}

function mapped<Definitions extends object, Made>(
  definitions: Definitions,
  make: (definition: Definitions[keyof Definitions]) => Made,
): Record<keyof Definitions, Made> {
  return Object.fromEntries(Object.entries(definitions).map(([key, definition]) => [key, make(definition)])) as Record<
    keyof Definitions,
    Made
  >;
}
