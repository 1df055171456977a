import DataLoader from 'dataloader';
import { Arg, ID } from 'type-graphql';
import { Scope } from '../applications/api-key';
import type { Caller } from '../applications/api-keys';
import { refuseUnknown } from '../applications/applications';
import type { Attempt } from '../attempts/attempt';
import type { AttemptColumns } from '../attempts/attempts';
import type { Delivery } from '../deliveries/delivery';
import { HubError, refuse, shown, UserErrorCode } from '../errors';
import type { Event } from '../events/event';
import type { EventColumns } from '../events/events';
import { applicationIdOf, isId, sequenceOf } from '../ids';
import type { Stream } from '../live/stream';
import type { Page, PageRequest, SearchAllowance } from '../store/page';
import type { CostlyFilter } from '../webhooks/costly-filter';
import type { StoredHealth } from '../webhooks/health';
import type { Webhook } from '../webhooks/webhook';
import type { Budget } from './budget';
import type { Services } from './services';

/** What every resolver gets. */
export interface Context {
  readonly services: Services;
  /** Who sent a valid key, or null. */
  readonly caller: Caller | null;
  readonly loaders: Loaders;
  /** What the operation may still take. */
  readonly budget: Budget;
  /** The trace that the operation came in, see `trace-context.ts`. */
  readonly traceContext: string | null;
  /** Where the operation came from, as far as it is known. */
  readonly address: string | null;
}

/** What is known of an operation beside its caller. */
interface Circumstances {
  readonly budget: Budget;
  readonly traceContext: string | null;
  readonly address: string | null;
}

/** Rows that fields of many objects ask for, read together. */
export interface Loaders {
  readonly delivery: DataLoader<string, Delivery | null>;
  readonly webhook: DataLoader<string, Webhook | null>;
  readonly attempt: DataLoader<string, Attempt | null>;
  /** By the webhook's id. */
  readonly storedHealth: DataLoader<string, StoredHealth | null>;
  readonly costlyFilter: DataLoader<string, CostlyFilter | null>;
  /** By the id of a delivery or attempt of the event. */
  readonly event: DataLoader<string, Event | null>;
  /** The id alone, without the payload; by the same. */
  readonly eventId: DataLoader<string, string | null>;
  /** Bodies that were made, by delivery. */
  readonly bodies: Map<string, Promise<string | null>>;
}

/** Of payloads of up to 1 MiB, or of response bodies, in one read. */
const EVENTS_A_READ = 10;
const ATTEMPTS_A_READ = 100;
const ROWS_A_READ = 500;

/** For one operation, or one message of a stream: what was read is kept as long. */
export function createContext(services: Services, caller: Caller | null, { budget, traceContext, address }: Circumstances): Context {
  return { services, caller, traceContext, address, budget, loaders: new LazyLoaders(services, budget) };
}

/** Most operations need none of them. */
class LazyLoaders implements Loaders {
  readonly #services: Services;
  readonly #budget: Budget;
  readonly #made = new Map<keyof Loaders, unknown>();
  readonly bodies = new Map<string, Promise<string | null>>();

  constructor(services: Services, budget: Budget) {
    this.#services = services;
    this.#budget = budget;
  }

  get delivery(): Loaders['delivery'] {
    const read = async (ids: readonly string[]) => inOrder(ids, this.#services.deliveries.byIds(ids), (row) => row.id);
    return this.#loader('delivery', () => new DataLoader(read, { maxBatchSize: ROWS_A_READ }));
  }

  get webhook(): Loaders['webhook'] {
    const read = async (ids: readonly string[]) => inOrder(ids, this.#services.webhooks.byIds(ids), (row) => row.id);
    return this.#loader('webhook', () => new DataLoader(read, { maxBatchSize: ROWS_A_READ }));
  }

  get attempt(): Loaders['attempt'] {
    const columns = { hasBodies: this.#budget.asksFor('responseBody') };
    const read = (ids: readonly string[]) =>
      readWithin(this.#budget, attemptBytes, () => inOrder(ids, this.#services.attempts.byIds(ids, columns), (row) => row.id));
    return this.#loader('attempt', () => new DataLoader(read, { maxBatchSize: ATTEMPTS_A_READ }));
  }

  get storedHealth(): Loaders['storedHealth'] {
    const read = async (ids: readonly string[]) => inOrder(ids, this.#services.storedHealth(ids), (row) => row.webhookId);
    return this.#loader('storedHealth', () => new DataLoader(read, { maxBatchSize: ROWS_A_READ, cache: false }));
  }

  get costlyFilter(): Loaders['costlyFilter'] {
    const read = async (ids: readonly string[]) => inOrder(ids, this.#services.costlyFilters(ids), (row) => row.webhookId);
    return this.#loader('costlyFilter', () => new DataLoader(read, { maxBatchSize: ROWS_A_READ, cache: false }));
  }

  get eventId(): Loaders['eventId'] {
    const { events } = this.#services;
    const read = async (ids: readonly string[]) => {
      const found = await ofEvents(ids, (applicationId, sequences) => events.idsBySequences(applicationId, sequences));
      return found.map((event) => event?.id ?? null);
    };
    return this.#loader('eventId', () => new DataLoader(read, { maxBatchSize: ROWS_A_READ }));
  }

  get event(): Loaders['event'] {
    const { events } = this.#services;
    const hasPayloads = asksForPayloads(this.#budget);
    const load = (applicationId: string, sequences: readonly number[]) => events.bySequences(applicationId, sequences, { hasPayloads });
    const read = (ids: readonly string[]) => readWithin(this.#budget, eventBytes, () => ofEvents(ids, load));
    return this.#loader('event', () => new DataLoader(read, { maxBatchSize: hasPayloads ? EVENTS_A_READ : ROWS_A_READ }));
  }

  #loader<Name extends keyof Loaders>(name: Name, make: () => Loaders[Name]): Loaders[Name] {
    const known = this.#made.get(name) as Loaders[Name] | undefined;
    if (known) return known;
    const made = make();
    this.#made.set(name, made);
    return made;
  }
}

/** Reads rows when their turn comes, and counts what they weigh. */
function readWithin<Row>(budget: Budget, bytesOf: (row: Row) => number, read: () => Promise<(Row | null)[]>): Promise<(Row | null)[]> {
  return budget.reading(async () => {
    const rows = await read();
    budget.read(rows.reduce((sum, row) => sum + (row === null ? 0 : bytesOf(row)), 0));
    return rows;
  });
}

const eventBytes = ({ payloadText }: Event) => payloadText?.length ?? 0;

function attemptBytes({ packedRequestHeaders, responseHeaders, responseBody }: Attempt): number {
  const headers = responseHeaders.reduce((sum, { name, value }) => sum + name.length + value.length, 0);
  return packedRequestHeaders.length + headers + (responseBody?.length ?? 0);
}

/** Whether an operation can need what events were published with: fields that show it, or what is made of it. */
function asksForPayloads(budget: Budget): boolean {
  return ['payload', 'payloadText', 'get', 'requestBody', 'curl', 'body'].some((name) => budget.asksFor(name));
}

/** Rows that are read at first where they may be large, and bytes in each read from then on. */
const FIRST_READ = 10;
const BYTES_A_READ = 4 * 1024 * 1024;

interface HeavyList<Row> {
  readonly list: (page: PageRequest) => Promise<Page<Row>>;
  /** What `list` takes as `after`. */
  readonly keyOf: (row: Row) => string;
  readonly bytesOf: (row: Row) => number;
}

/** A page of rows that may be large: the first of them tell how many more are read at once. It ends early where the budget does. */
async function readHeavyPage<Row>(
  { budget }: Context,
  { first, after, before }: PageRequest,
  { list, keyOf, bytesOf }: HeavyList<Row>,
): Promise<Page<Row>> {
  const rows: Row[] = [];
  let bytes = 0;
  for (;;) {
    const missing = first - rows.length;
    const fitting = rows.length === 0 ? FIRST_READ : Math.floor((BYTES_A_READ * rows.length) / Math.max(1, bytes));
    const last = rows.at(-1);
    const page = await budget.reading(() =>
      list({ first: Math.min(missing, Math.max(1, fitting)), after: last === undefined ? after : keyOf(last), before }),
    );
    const added = page.rows.reduce((sum, row) => sum + bytesOf(row), 0);
    bytes += added;
    rows.push(...page.rows);
    if (!budget.read(added) || !page.hasNextPage || page.leftOff || rows.length >= first) return { ...page, rows };
  }
}

/** Of a slice of the event loop: looking at a row takes some 5 µs. */
const UNITS_PER_ROW = 100;

/**
 * What one more list may look at for its filter or its count.
 * @throws HubError where the operation has looked at as much as it may
 */
export function searchAllowance({ budget, services, caller }: Context): SearchAllowance {
  const owner = caller?.applicationId ?? caller?.apiKey.id ?? '';
  budget.startSearch();
  let looked = 0;
  return {
    get rows() {
      return budget.searchableRows(looked);
    },
    async looked(rows) {
      looked += rows;
      budget.searched(rows);
      if (services.slices.isOver(UNITS_PER_ROW * rows)) await services.slices.next(owner);
    },
  };
}

/** An event with its payload, where the operation can need it. */
export async function findEvent({ budget, services }: Context, id: string): Promise<Event | null> {
  const event = await budget.reading(() => services.events.byId(id));
  if (event) budget.read(eventBytes(event));
  return event;
}

/** A page of events, without their payloads where the operation cannot need them. */
export function readEventPage(
  context: Context,
  page: PageRequest,
  list: (page: PageRequest, columns: EventColumns) => Promise<Page<Event>>,
): Promise<Page<Event>> {
  if (!asksForPayloads(context.budget)) return context.budget.reading(() => list(page, { hasPayloads: false }));
  return readHeavyPage(context, page, {
    list: (part) => list(part, { hasPayloads: true }),
    keyOf: ({ sequence }) => String(sequence),
    bytesOf: eventBytes,
  });
}

/** A page of attempts, without the bodies of their responses where the operation does not ask for them. */
export function readAttemptPage(
  context: Context,
  page: PageRequest,
  list: (page: PageRequest, columns: AttemptColumns) => Promise<Page<Attempt>>,
): Promise<Page<Attempt>> {
  const hasBodies = context.budget.asksFor('responseBody');
  return readHeavyPage(context, page, { list: (part) => list(part, { hasBodies }), keyOf: ({ id }) => id, bytesOf: attemptBytes });
}

async function inOrder<Row>(ids: readonly string[], rows: Promise<readonly Row[]>, keyOf: (row: Row) => string): Promise<(Row | null)[]> {
  const byId = new Map((await rows).map((row) => [keyOf(row), row]));
  return ids.map((id) => byId.get(id) ?? null);
}

/** Something of the events that these ids of deliveries or attempts belong to. */
async function ofEvents<Row extends { readonly sequence: number }>(
  ids: readonly string[],
  read: (applicationId: string, sequences: readonly number[]) => Promise<readonly Row[]>,
): Promise<(Row | null)[]> {
  const wanted = new Map<string, Set<number>>();
  for (const id of ids) {
    const applicationId = applicationIdOf(id);
    wanted.set(applicationId, (wanted.get(applicationId) ?? new Set()).add(sequenceOf(id)));
  }
  const found = new Map<string, Row>();
  for (const [applicationId, sequences] of wanted)
    for (const row of await read(applicationId, [...sequences])) found.set(`${applicationId}${row.sequence}`, row);
  return ids.map((id) => found.get(`${applicationIdOf(id)}${sequenceOf(id)}`) ?? null);
}

export function requireCaller({ caller }: Context): Caller {
  if (caller === null) throw new HubError('UNAUTHENTICATED');
  return caller;
}

export function requireAdmin(context: Context): Caller {
  const caller = requireCaller(context);
  if (caller.applicationId !== null) throw new HubError('FORBIDDEN', 'This requires an admin key.');
  return caller;
}

/** For the fields of the root types; those of records have theirs in `field-access.ts`. */
export function requireScope(context: Context, scope: Scope): Caller {
  const caller = requireCaller(context);
  if (!caller.scopes.has(scope)) throw new HubError('FORBIDDEN', `The key lacks the scope ${scope}.`);
  return caller;
}

/** A stream as one of those that the caller's key may have open. */
export async function asSubscription<T>(context: Context, open: () => Promise<Stream<T>>): Promise<Stream<T>> {
  const release = context.services.keyLimits.openSubscription(requireCaller(context));
  try {
    return (await open()).whenClosed(release);
  } catch (error) {
    release();
    throw error;
  }
}

/** The application to act for: the key's own, or the one that an admin names. `named` is the argument, `input` tells where an error goes. */
export function applicationFor(context: Context, scope: Scope, named: string | null | undefined, where: 'input' | 'argument'): string {
  const caller = requireScope(context, scope);
  if (caller.applicationId !== null) {
    if (named && named !== caller.applicationId) throw new HubError('FORBIDDEN', 'The key belongs to another application.');
    return caller.applicationId;
  }
  if (named) return isId('app', named) ? named : refuseApplication(named, where);
  const message = 'expected the id of an application: an admin key has none of its own';
  if (where === 'input') return refuse('applicationId', message, UserErrorCode.REQUIRED);
  throw new HubError('BAD_USER_INPUT', `applicationId: ${message}`);
}

/** Whose keys and deeds to show: an application's, or with null the hub's own, which admin keys alone see. */
export function auditedApplication(context: Context, named: string | null | undefined): string | null {
  const caller = requireScope(context, Scope.AUDIT_READ);
  return caller.applicationId === null && !named ? null : applicationFor(context, Scope.AUDIT_READ, named, 'argument');
}

/** The argument that says whose rows to read. */
export const OfApplication = () =>
  Arg('applicationId', () => ID, { nullable: true, description: 'The application to read from. A key of its own may leave it out.' });

/** What has not even the form of an id: no query needs to look for it. */
function refuseApplication(named: string, where: 'input' | 'argument'): never {
  if (where === 'input') return refuseUnknown(named);
  throw new HubError('BAD_USER_INPUT', `applicationId: expected the id of an application, got ${shown(named)}`);
}

/** Whether the caller may do `scope` to the thing with this id; what belongs to others, or to an application that is deleted, is as if it did not exist. */
export async function maySee(context: Context, scope: Scope, id: string): Promise<boolean> {
  requireScope(context, scope);
  return mayEnter(context, applicationIdOf(id));
}

/** Whether this is the caller's application, or for an admin one that exists: the rows of a deleted one take a while to go. */
export async function mayEnter(context: Context, applicationId: string): Promise<boolean> {
  const caller = requireCaller(context);
  if (caller.applicationId !== null) return caller.applicationId === applicationId;
  return (await context.services.applications.byId(applicationId)) !== null;
}
