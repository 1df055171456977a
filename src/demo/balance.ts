/** A webhook of the demo, as its owner planned it. */
export interface Plan {
  readonly name: string;
  readonly eventTypes: readonly string[];
  readonly what: string;
  /** How many requests the receiver refuses before it recovers. */
  readonly refusals: number;
  wants(type: string): boolean;
}

export interface Published {
  readonly eventId: string;
  readonly sequence: number;
  readonly type: string;
  /** The payload, minified. */
  readonly text: string;
  /** Just before its mutation was sent; milliseconds on the same clock as `Receipt.receivedAt`. */
  readonly sentAt: number;
}

/** A request as the receiver saw it. */
export interface Receipt {
  readonly webhook: string;
  readonly eventId: string;
  readonly type: string;
  readonly isVerified: boolean;
  /** What the receiver answered. */
  readonly status: number;
  readonly data: Buffer;
  /** When the whole request was there. */
  readonly receivedAt: number;
}

/** An attempt as the live subscription told it. */
export interface Sighting {
  readonly webhook: string;
  readonly eventId: string;
  /** Of the delivery, after the attempt. */
  readonly status: string;
  readonly attempt: number;
}

export interface Evidence {
  readonly plans: readonly Plan[];
  /** How many events should have been published. */
  readonly planned: number;
  readonly published: readonly Published[];
  readonly receipts: readonly Receipt[];
  readonly sightings: readonly Sighting[];
}

/** One column of the closing table. */
export interface Column {
  readonly name: string;
  readonly wanted: number;
  readonly delivered: number;
  /** Deliveries that the live subscription saw succeed. */
  readonly seen: number;
  readonly requests: number;
  readonly retried: number;
  readonly verified: number;
  readonly byteEqual: number;
  readonly latenciesMs: readonly number[];
}

export interface Balance {
  readonly published: number;
  readonly columns: readonly Column[];
  readonly total: Column;
  /** What is missing, a sentence each; none: it balances. */
  readonly problems: readonly string[];
}

/** Holds what was published against what was received and what was seen live. */
export function balance(evidence: Evidence): Balance {
  const { plans } = evidence;
  const judged = plans.map((plan) => judge(plan, evidence));
  const columns = judged.map(({ column }) => column);
  return {
    published: evidence.published.length,
    columns,
    total: columns.reduce(add, emptyColumn('all')),
    problems: [...publishingProblems(evidence), ...judged.flatMap(({ problems }) => problems)],
  };
}

/** How many deliveries events must become. */
export function wantedDeliveries(plans: readonly Plan[], events: readonly { readonly type: string }[]): number {
  return plans.reduce((sum, plan) => sum + events.filter(({ type }) => plan.wants(type)).length, 0);
}

/** By nearest rank. */
export function percentile(values: readonly number[], percent: number): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)];
}

function publishingProblems({ planned, published }: Evidence): string[] {
  const problems: string[] = [];
  if (published.length < planned) problems.push(`published: ${planned - published.length} of ${planned} events are missing`);
  const sequences = [...new Set(published.map(({ sequence }) => sequence))].sort((a, b) => a - b);
  const [first = 0] = sequences;
  const last = sequences.at(-1) ?? 0;
  if (published.length > 0 && last - first + 1 !== published.length)
    problems.push(`published: ${published.length} events have the sequences #${first} to #${last}, which are not as many`);
  return problems;
}

function judge(plan: Plan, evidence: Evidence): { column: Column; problems: string[] } {
  const ofPlan = ({ webhook }: { webhook: string }) => webhook === plan.name;
  const wanted = new Map(evidence.published.filter(({ type }) => plan.wants(type)).map((event) => [event.eventId, event]));
  const receipts = evidence.receipts.filter(ofPlan);
  const sightings = evidence.sightings.filter(ofPlan);
  const verified = receipts.filter(({ isVerified }) => isVerified);
  const taken = verified.filter(({ status }) => status < 300);

  const delivered = idsOf(taken);
  const seen = idsOf(sightings.filter(({ status }) => status === 'SUCCEEDED'));
  const differing = idsOf(receipts.filter(({ eventId, data }) => wanted.has(eventId) && !isEqual(wanted.get(eventId), data)));
  const unwanted = [...idsOf(receipts)].filter((eventId) => !wanted.has(eventId));
  const events = [...wanted.values()];
  const refused = receipts.length - receipts.filter(({ status }) => status < 300).length;
  const retried = sightings.filter(({ attempt }) => attempt > 1).length;

  const problems: string[] = [];
  const say = (what: string, which: readonly string[]) => {
    if (which.length > 0) problems.push(`${plan.name}: ${what}: ${which.length} (${some(which)})`);
  };
  const named = (test: (event: Published) => boolean) => events.filter(test).map(({ type, sequence }) => `#${sequence} ${type}`);
  say(
    'not delivered',
    named(({ eventId }) => !delivered.has(eventId)),
  );
  say(
    'not seen to succeed by the live subscription',
    named(({ eventId }) => !seen.has(eventId)),
  );
  say(
    'data not equal to what was published',
    named(({ eventId }) => differing.has(eventId)),
  );
  say(
    'delivered more than once',
    named(({ eventId }) => taken.filter((receipt) => receipt.eventId === eventId).length > 1),
  );
  say('received without having asked for it', unwanted);
  const unverified = receipts.length - verified.length;
  if (unverified > 0) problems.push(`${plan.name}: signatures that standardwebhooks refused: ${unverified} of ${receipts.length}`);
  if (retried < refused) problems.push(`${plan.name}: ${refused} requests were refused, but only ${retried} retries were seen`);

  const column = {
    name: plan.name,
    wanted: wanted.size,
    delivered: [...delivered].filter((eventId) => wanted.has(eventId)).length,
    seen: [...seen].filter((eventId) => wanted.has(eventId)).length,
    requests: receipts.length,
    retried,
    verified: verified.length,
    byteEqual: receipts.filter(({ eventId, data }) => isEqual(wanted.get(eventId), data)).length,
    latenciesMs: latencies(wanted, verified),
  };
  return { column, problems };
}

/** From each event's publish to the first verified request for it. */
function latencies(wanted: ReadonlyMap<string, Published>, verified: readonly Receipt[]): number[] {
  const first = new Map<string, number>();
  for (const { eventId, receivedAt } of verified) first.set(eventId, Math.min(receivedAt, first.get(eventId) ?? Number.POSITIVE_INFINITY));
  return [...first].flatMap(([eventId, receivedAt]) => {
    const event = wanted.get(eventId);
    return event ? [receivedAt - event.sentAt] : [];
  });
}

function isEqual(event: Published | undefined, data: Buffer): boolean {
  return event !== undefined && data.equals(Buffer.from(event.text));
}

function idsOf(items: readonly { readonly eventId: string }[]): Set<string> {
  return new Set(items.map(({ eventId }) => eventId));
}

const MAX_NAMED = 3;

function some(names: readonly string[]): string {
  const more = names.length - MAX_NAMED;
  return `${names.slice(0, MAX_NAMED).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

function emptyColumn(name: string): Column {
  return { name, wanted: 0, delivered: 0, seen: 0, requests: 0, retried: 0, verified: 0, byteEqual: 0, latenciesMs: [] };
}

function add(a: Column, b: Column): Column {
  return {
    name: a.name,
    wanted: a.wanted + b.wanted,
    delivered: a.delivered + b.delivered,
    seen: a.seen + b.seen,
    requests: a.requests + b.requests,
    retried: a.retried + b.retried,
    verified: a.verified + b.verified,
    byteEqual: a.byteEqual + b.byteEqual,
    latenciesMs: [...a.latenciesMs, ...b.latenciesMs],
  };
}
