import DataLoader from 'dataloader';
import { Arg, ID } from 'type-graphql';
import { Scope } from '../applications/api-key';
import type { Caller } from '../applications/api-keys';
import { refuseUnknown } from '../applications/applications';
import type { Attempt } from '../attempts/attempt';
import type { Delivery } from '../deliveries/delivery';
import { HubError, refuse, shown, UserErrorCode } from '../errors';
import type { Event } from '../events/event';
import type { CostlyFilter } from '../health/filter-health';
import { applicationIdOf, isId, sequenceOf } from '../ids';
import type { Stream } from '../live/stream';
import type { StoredHealth } from '../webhooks/health';
import type { Webhook } from '../webhooks/webhook';
import type { Services } from './services';

/** What every resolver gets. */
export interface Context {
  readonly services: Services;
  /** Whoever sent a valid key, or null. */
  readonly caller: Caller | null;
  readonly loaders: Loaders;
  /** The trace that the operation came in, see `trace-context.ts`. */
  readonly traceContext: string | null;
  /** Where the operation came from, as far as it is known. */
  readonly address: string | null;
}

/** What is known of an operation beside its caller. */
interface Circumstances {
  /** For a stream, which must neither keep nor repeat what it has once read. */
  readonly isLasting: boolean;
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
}

export function createContext(services: Services, caller: Caller | null, { isLasting, traceContext, address }: Circumstances): Context {
  const options = { cache: !isLasting, maxBatchSize: 500 };
  return {
    services,
    caller,
    traceContext,
    address,
    loaders: {
      delivery: new DataLoader((ids) => inOrder(ids, services.deliveries.byIds(ids), (row) => row.id), options),
      webhook: new DataLoader((ids) => inOrder(ids, services.webhooks.byIds(ids), (row) => row.id), options),
      attempt: new DataLoader((ids) => inOrder(ids, services.attempts.byIds(ids), (row) => row.id), options),
      storedHealth: new DataLoader((ids) => inOrder(ids, services.storedHealth(ids), (row) => row.webhookId), { ...options, cache: false }),
      costlyFilter: new DataLoader((ids) => inOrder(ids, services.costlyFilters(ids), (row) => row.webhookId), {
        ...options,
        cache: false,
      }),
      event: new DataLoader(
        (ids) => ofEvents(ids, (applicationId, sequences) => services.events.bySequences(applicationId, sequences)),
        options,
      ),
      eventId: new DataLoader(async (ids) => {
        const found = await ofEvents(ids, (applicationId, sequences) => services.events.idsBySequences(applicationId, sequences));
        return found.map((event) => event?.id ?? null);
      }, options),
    },
  };
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
  if (caller.applicationId !== null) throw new HubError('FORBIDDEN', 'Only an admin key permits this.');
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
