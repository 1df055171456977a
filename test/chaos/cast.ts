import { TIMEOUT_MS, type Traits, type WatchedWebhook } from './facts';
import type { Manners } from './receivers';

/** Two tenants, so that what is one's is seen never to reach the other. */
export const APPLICATIONS = ['shop', 'bank'] as const;
export type ApplicationName = (typeof APPLICATIONS)[number];

export const EVENT_TYPES = ['order.created', 'order.paid', 'invoice.created', 'invoice.paid', 'user.created'] as const;

/** A webhook of the run: what it asks of the hub, what its receiver is like, and, in plain words of our own, what it should get. */
export interface Role extends Pick<WatchedWebhook, 'name' | 'ordering' | 'isHopeless' | 'wants'> {
  readonly application: ApplicationName;
  readonly manners: Manners;
  /** What differs from the usual input. */
  readonly input: Readonly<Record<string, unknown>>;
}

/** So many attempts that no receiver of the run stays bad for all of them. */
const RETRY_SCHEDULE = [1, ...Array<number>(29).fill(2)];

export const USUAL_INPUT = { retrySchedule: RETRY_SCHEDULE, timeoutSeconds: TIMEOUT_MS / 1_000, verification: 'CLOUDEVENTS' } as const;

const all = () => true;
const begins = (text: string) => (event: Traits) => event.type.startsWith(text);
const ends = (text: string) => (event: Traits) => event.type.endsWith(text);

export const ROLES: readonly Role[] = [
  {
    name: 'healthy',
    application: 'shop',
    ordering: 'NONE',
    isHopeless: false,
    manners: {},
    input: {},
    wants: all,
  },
  {
    name: 'flaky',
    application: 'shop',
    ordering: 'NONE',
    isHopeless: false,
    manners: { refuses: 0.1, dawdles: 0.1 },
    input: { eventTypes: ['order.*', 'user.*'], maxConcurrency: 20 },
    wants: (event) => begins('order.')(event) || begins('user.')(event),
  },
  {
    name: 'strict',
    application: 'shop',
    ordering: 'STRICT',
    isHopeless: false,
    // Slow enough that there is always something in its owner's memory that must not be sent when the owner is not any more.
    manners: { refuses: 0.005, loses: 0.005, dawdles: 0.15 },
    input: { eventTypes: ['order.*', 'user.*'] },
    wants: (event) => begins('order.')(event) || begins('user.')(event),
  },
  {
    name: 'by-key',
    application: 'shop',
    ordering: 'BY_KEY',
    isHopeless: false,
    manners: { refuses: 0.02, drops: 0.01, loses: 0.01, dawdles: 0.3 },
    input: { eventTypes: ['*.created'] },
    wants: ends('.created'),
  },
  {
    name: 'hanging',
    application: 'shop',
    ordering: 'NONE',
    isHopeless: false,
    manners: { hangs: 0.05 },
    input: { eventTypes: ['invoice.*'], filter: { 'payload.total': { $gte: 50 } } },
    wants: (event) => begins('invoice.')(event) && event.total >= 50,
  },
  {
    name: 'hopeless',
    application: 'shop',
    ordering: 'NONE',
    isHopeless: true,
    manners: {},
    input: { eventTypes: ['invoice.paid'], retrySchedule: [1, 1] },
    wants: begins('invoice.paid'),
  },
  {
    name: 'losing',
    application: 'bank',
    ordering: 'NONE',
    isHopeless: false,
    manners: { loses: 0.1, drops: 0.05 },
    input: {},
    wants: all,
  },
  {
    name: 'shaped',
    application: 'bank',
    ordering: 'BY_KEY',
    isHopeless: false,
    manners: { refuses: 0.02, loses: 0.02 },
    input: {
      payloadQuery: 'subscription { event(types: ["order.*", "invoice.*"]) { id type no: get(path: "no") } }',
    },
    wants: (event) => begins('order.')(event) || begins('invoice.')(event),
  },
  {
    name: 'strict-too',
    application: 'bank',
    ordering: 'STRICT',
    isHopeless: false,
    manners: { drops: 0.01 },
    input: { eventTypes: ['user.created'] },
    wants: begins('user.created'),
  },
];
