import { attemptId } from '../../src/ids';
import {
  type Acknowledgement,
  type Facts,
  type HubName,
  type Publication,
  type Receipt,
  type StoredEvent,
  TIMEOUT_MS,
  type Treatment,
  type Trouble,
} from './facts';
import type { FaultKind } from './schedule';

/** Something that does not balance, with the names of what it concerns. */
export interface Finding {
  readonly kind: string;
  readonly subject: string;
}

/** Why a request was repeated. */
export type Explanation = FaultKind | Exclude<Treatment, 'accepted'> | 'late';

export interface Balance {
  readonly findings: readonly Finding[];
  readonly repeats: ReadonlyMap<Explanation, number>;
  readonly totals: Readonly<Record<string, number>>;
}

/**
 * An outcome is written down within so long of the answer, unless something happens to the hub or the database: another
 * hub that is frozen in a transaction may hold the rows for 3 s.
 */
const SETTLE_MS = 5_000;

/** Pure: compares what was told, stored, received and seen. */
export function audit(facts: Facts): Balance {
  const repeats = new Map<Explanation, number>();
  const findings = [
    ...auditLog(facts),
    ...auditPublications(facts),
    ...auditReceipts(facts),
    ...auditRepeats(facts, repeats),
    ...auditOrder(facts),
    ...auditMoves(facts),
    ...auditDeliveries(facts),
    ...auditWatchers(facts),
    ...auditUpdates(facts),
    ...auditHubs(facts),
  ];
  return { findings, repeats, totals: totalsOf(facts) };
}

const isAcknowledgement = (answer: Publication['answers'][number]): answer is Acknowledgement => typeof answer === 'object';

/** Per application 1, 2, 3 … without a gap, each with an id of its own. */
function auditLog({ events }: Facts): Finding[] {
  const findings: Finding[] = [];
  for (const [applicationId, own] of groupBy(events, (event) => event.applicationId)) {
    const counts = countBy(own, ({ sequence }) => sequence);
    const last = Math.max(...counts.keys());
    for (let sequence = 1; sequence <= last; sequence++)
      if (!counts.has(sequence)) findings.push({ kind: 'sequence missing', subject: `${applicationId} ${sequence}` });
    for (const [sequence, count] of counts)
      if (count > 1) findings.push({ kind: 'sequence doubled', subject: `${applicationId} ${sequence}` });
  }
  for (const [id, count] of countBy(events, (event) => event.id)) if (count > 1) findings.push({ kind: 'event id doubled', subject: id });
  return findings;
}

/** What was acknowledged is stored as it was told, once; what was refused is not. */
function auditPublications({ events, publications }: Facts): Finding[] {
  const stored = groupBy(events, ({ no }) => no);
  return publications.flatMap((publication) => auditPublication(publication, stored.get(publication.no) ?? []));
}

function auditPublication({ applicationId, no, hasKey, answers }: Publication, rows: readonly StoredEvent[]): Finding[] {
  const findings: Finding[] = [];
  const find = (kind: string, more = '') => findings.push({ kind, subject: `no ${no} of ${applicationId}${more}` });
  const told = answers.filter(isAcknowledgement);
  for (const { id, sequence } of told)
    if (!rows.some((row) => row.applicationId === applicationId && row.id === id && row.sequence === sequence))
      find('acknowledged and not stored', `: ${id}, sequence ${sequence}`);
  if (hasKey && new Set(told.map(({ id }) => id)).size > 1) find('one key, two events', `: ${told.map(({ id }) => id).join(', ')}`);
  const unknown = answers.filter((answer) => answer === 'unknown').length;
  const certain = new Set(told.map(({ id }) => id)).size;
  const most = hasKey ? Math.max(certain, Math.min(unknown, 1)) : certain + unknown;
  if (rows.length > most) find(most === 0 ? 'refused and stored' : 'stored too often', `: ${rows.map(({ id }) => id).join(', ')}`);
  const first = answers.findIndex(isAcknowledgement);
  const before = answers.slice(0, Math.max(first, 0));
  if (told[0]?.deduplicated && before.every((answer) => answer === 'refused')) find('refused and stored', `: ${told[0].id}`);
  for (const again of told.slice(1)) if (hasKey && !again.deduplicated) find('a repeated key was not recognised', `: ${again.id}`);
  return findings;
}

/** Every event has reached every webhook that wants it; nothing else has, and all of it signed and unchanged. */
function auditReceipts({ events, webhooks, receipts }: Facts): Finding[] {
  const findings: Finding[] = [];
  const received = groupBy(receipts, ({ webhook, eventId }) => `${webhook} ${eventId}`);
  const wanted = new Set<string>();
  for (const webhook of webhooks)
    for (const event of events) {
      if (event.no === null || event.applicationId !== webhook.applicationId || !webhook.wants(event)) continue;
      const pair = `${webhook.name} ${event.id}`;
      wanted.add(pair);
      const own = received.get(pair) ?? [];
      if (own.length === 0) findings.push({ kind: 'never sent', subject: pair });
      else if (!webhook.isHopeless && !own.some(({ treatment }) => treatment === 'accepted'))
        findings.push({ kind: 'not delivered', subject: pair });
    }
  for (const [pair, own] of received) {
    if (!wanted.has(pair)) findings.push({ kind: 'sent though not wanted', subject: pair });
    if (own.some(({ isVerified, digest }) => digest !== null && !isVerified)) findings.push({ kind: 'wrong signature', subject: pair });
    if (new Set(own.flatMap(({ digest }) => digest ?? [])).size > 1)
      findings.push({ kind: 'body changed between attempts', subject: pair });
  }
  return findings;
}

/** Of a STRICT webhook one request is under way at a time: whatever happens excuses a repeat of that, and one that was late. */
const MAX_EXCUSED_IN_ORDER = 2;

/** Whether a hub that had too much to do, or its machine, noticed the answer only when its time was up. */
function lateAnswers({ deliveries, failures, webhooks }: Facts): (previous: Receipt) => boolean {
  const late = new Set(failures.filter(({ outcome, durationMs }) => outcome === 'TIMEOUT' && durationMs >= TIMEOUT_MS).map(({ id }) => id));
  const idOf = new Map(webhooks.map(({ name, id }) => [name, id]));
  const byPair = new Map(deliveries.map(({ id, webhookId, eventId }) => [`${webhookId} ${eventId}`, id]));
  return ({ webhook, eventId, attempt }) => {
    const delivery = byPair.get(`${idOf.get(webhook)} ${eventId}`);
    return delivery !== undefined && late.has(attemptId(delivery, attempt));
  };
}

/** A request that was repeated has its reason. */
function auditRepeats(facts: Facts, repeats: Map<Explanation, number>): Finding[] {
  const { receipts, troubles, webhooks } = facts;
  const isLate = lateAnswers(facts);
  const findings: Finding[] = [];
  const strict = new Set(webhooks.filter(({ ordering }) => ordering === 'STRICT').map(({ name }) => name));
  const excused = new Map<Trouble, Map<string, number>>();
  for (const [pair, own] of groupBy(receipts, ({ webhook, eventId }) => `${webhook} ${eventId}`))
    for (const [index, repeat] of own.entries()) {
      const previous = own[index - 1];
      if (previous === undefined) continue;
      const trouble = previous.treatment === 'accepted' ? findTrouble(previous, repeat, troubles) : undefined;
      const explanation =
        previous.treatment === 'accepted' ? (trouble?.kind ?? (isLate(previous) ? 'late' : undefined)) : previous.treatment;
      const subject = `${pair}: ${describe(previous)}, then ${describe(repeat)}`;
      if (explanation === undefined) findings.push({ kind: 'repeat without a reason', subject });
      else repeats.set(explanation, (repeats.get(explanation) ?? 0) + 1);
      if (trouble && strict.has(repeat.webhook)) {
        const counts = excused.get(trouble) ?? new Map<string, number>();
        excused.set(trouble, counts.set(repeat.webhook, (counts.get(repeat.webhook) ?? 0) + 1));
        if ((counts.get(repeat.webhook) ?? 0) > MAX_EXCUSED_IN_ORDER)
          findings.push({ kind: 'repeats of more than was under way', subject });
      }
    }
  return findings;
}

/** Pure: what kept a request that was accepted from being the last: its sender could not write that down, or the next did not know. */
export function findTrouble(previous: Receipt, repeat: Receipt, troubles: readonly Trouble[]): Trouble | undefined {
  const met = (sender: HubName | null, from: number, to: number) =>
    nearest(
      troubles.filter((trouble) => concerns(trouble, sender)),
      from,
      to,
    );
  return met(previous.sender, previous.arrivedAt, previous.endedAt) ?? met(repeat.sender, repeat.arrivedAt, repeat.arrivedAt);
}

/** Of what happened about that time the one that fits best. */
function nearest(troubles: readonly Trouble[], from: number, to: number): Trouble | undefined {
  const distance = (trouble: Trouble) => Math.max(0, trouble.from - to, from - trouble.to);
  const [first] = [...troubles].sort((a, b) => distance(a) - distance(b));
  return first && distance(first) <= SETTLE_MS ? first : undefined;
}

/**
 * A hub that is told to stop writes down what it has sent, one that lost a commit finds out what became of it, and
 * losing Redis costs no more than time.
 */
const HARMLESS: ReadonlySet<FaultKind> = new Set<FaultKind>(['stop-hub', 'kill-redis', 'lose-commit', 'lose-answer']);

function concerns({ kind, slot, life }: Trouble, sender: HubName | null): boolean {
  if (HARMLESS.has(kind)) return false;
  if (slot === null || sender === null) return true;
  return slot === sender.slot && (life === null || life === sender.life);
}

function describe({ attempt, sender, arrivedAt, treatment }: Receipt): string {
  const from = sender ? `instance ${sender.slot}, life ${sender.life}` : 'an unknown instance';
  return `attempt ${attempt} from ${from} at ${new Date(arrivedAt).toISOString()} (${treatment})`;
}

/** Of an ordered webhook what comes for the first time is newer than all that came before: of its key, or at all. */
function auditOrder({ webhooks, receipts, events }: Facts): Finding[] {
  const findings: Finding[] = [];
  const byId = new Map(events.map((event) => [event.id, event]));
  const byWebhook = groupBy(receipts, ({ webhook }) => webhook);
  for (const { name, ordering } of webhooks) {
    if (ordering === 'NONE') continue;
    const newest = new Map<string, number>();
    const met = new Set<string>();
    for (const { eventId } of byWebhook.get(name) ?? []) {
      const event = byId.get(eventId);
      if (event === undefined || met.has(eventId)) continue;
      met.add(eventId);
      const key = ordering === 'STRICT' ? '' : event.orderingKey;
      if (key === null) continue;
      const before = newest.get(key) ?? 0;
      if (event.sequence < before)
        findings.push({
          kind: 'out of order',
          subject: `${name}${key && ` key ${key}`}: sequence ${event.sequence} after ${before} (${eventId})`,
        });
      newest.set(key, Math.max(before, event.sequence));
    }
  }
  return findings;
}

/** A change is in force on every instance within so long, unless something happens to it. */
const CHANGE_MS = 3_000;

/** Once a webhook has moved, nothing more is sent to where it was. */
function auditMoves({ moves, receipts, troubles }: Facts): Finding[] {
  const byWebhook = groupBy(moves, ({ webhook }) => webhook);
  return receipts.flatMap(({ webhook, moves: known, eventId, sender, arrivedAt }) => {
    const next = (byWebhook.get(webhook) ?? []).find(({ moves }) => moves > known);
    if (next === undefined || arrivedAt <= next.at + CHANGE_MS) return [];
    const isExcused = troubles.some(
      (trouble) => concerns(trouble, sender) && trouble.from <= arrivedAt && next.at <= trouble.to + SETTLE_MS,
    );
    if (isExcused) return [];
    const subject = `${webhook} ${eventId}: target ${known}, ${arrivedAt - next.at} ms after it had moved on to ${next.moves}`;
    return [{ kind: 'sent to a former target', subject }];
  });
}

/** Every delivery exists and has ended as its receiver says; none is left where nothing will move it. */
function auditDeliveries({ events, webhooks, deliveries, instances, owners, unfinishedJobs }: Facts): Finding[] {
  const findings: Finding[] = [];
  const live = new Set(instances);
  const byPair = new Map(deliveries.map((delivery) => [`${delivery.webhookId} ${delivery.eventId}`, delivery]));
  const ownerOf = new Map(owners.map(({ webhookId, owner }) => [webhookId, owner]));
  const hopeless = new Set(webhooks.filter(({ isHopeless }) => isHopeless).map(({ id }) => id));
  for (const webhook of webhooks)
    for (const event of events)
      if (
        event.no !== null &&
        event.applicationId === webhook.applicationId &&
        webhook.wants(event) &&
        !byPair.has(`${webhook.id} ${event.id}`)
      )
        findings.push({ kind: 'no delivery was stored', subject: `${webhook.name} ${event.id}` });
  for (const { id, webhookId, status, attemptCount, owner, dueInMs } of deliveries) {
    const row = `${id}: ${status}, ${attemptCount} attempts, owner ${owner ?? 'none'}, due ${dueInMs === null ? 'never' : `in ${dueInMs} ms`}`;
    if (status === 'SUCCEEDED' && !hopeless.has(webhookId)) continue;
    if (status === 'FAILED' && hopeless.has(webhookId)) continue;
    if (status === 'SUCCEEDED' || status === 'FAILED' || status === 'CANCELLED')
      findings.push({ kind: 'ended otherwise than it was received', subject: row });
    else if (owner !== null && owner !== '' && !live.has(owner)) findings.push({ kind: 'owned by a dead instance', subject: row });
    else findings.push({ kind: 'not settled', subject: `${row}; its webhook is ${ownerOf.get(webhookId) ?? 'nobody'}'s` });
  }
  for (const job of unfinishedJobs) findings.push({ kind: 'retry job not finished', subject: job });
  return findings;
}

/** Along its cursor a subscriber saw each event of its kind, once, in order. */
function auditWatchers({ watchers, events }: Facts): Finding[] {
  const findings: Finding[] = [];
  for (const { name, applicationId, after, seen, wants } of watchers) {
    const wanted = new Set(
      events
        .filter((event) => event.applicationId === applicationId && event.sequence > after && wants(event))
        .map(({ sequence }) => sequence),
    );
    const counts = countBy(seen, (sequence) => sequence);
    for (const sequence of wanted) if (!counts.has(sequence)) findings.push({ kind: 'not seen live', subject: `${name}: ${sequence}` });
    for (const [sequence, count] of counts) {
      if (count > 1) findings.push({ kind: 'seen more than once', subject: `${name}: ${sequence}` });
      if (!wanted.has(sequence)) findings.push({ kind: 'seen though not asked for', subject: `${name}: ${sequence}` });
    }
    for (const [index, sequence] of seen.entries())
      if (sequence < (seen[index - 1] ?? 0))
        findings.push({ kind: 'seen out of order', subject: `${name}: ${sequence} after ${seen[index - 1]}` });
  }
  return findings;
}

/** The log of updates has no gap, ends with what each delivery is, and was seen as it is. */
function auditUpdates({ updates, updateWatchers, deliveries }: Facts): Finding[] {
  const findings: Finding[] = [];
  const byApplication = groupBy(updates, ({ applicationId }) => applicationId);
  const latest = new Map<string, string>();
  for (const [applicationId, rows] of byApplication)
    for (const [index, row] of rows.entries()) {
      const next = (rows[index - 1]?.last ?? 0) + 1;
      if (row.first !== next || row.updates.length !== row.last - row.first + 1)
        findings.push({ kind: 'gap in the updates', subject: `${applicationId}: ${row.first} to ${row.last} where ${next} comes next` });
      for (const update of row.updates) latest.set(deliveryOf(update), update);
    }
  for (const { id, status, attemptCount } of deliveries)
    if (latest.get(id)?.split(' ')[1] !== status)
      findings.push({
        kind: 'last update is not what is stored',
        subject: `${id}: ${status}, ${attemptCount} attempts; ${latest.get(id)}`,
      });
  for (const { name, applicationId, seen } of updateWatchers) {
    const wanted = (byApplication.get(applicationId) ?? []).flatMap(({ updates }) => updates);
    const at = Array.from({ length: Math.max(wanted.length, seen.length) }, (_, index) => index).find(
      (index) => wanted[index] !== seen[index],
    );
    if (at !== undefined)
      findings.push({
        kind: 'updates seen otherwise than stored',
        subject: `${name}: the ${at + 1}th is ${seen[at]} instead of ${wanted[at]}`,
      });
  }
  return findings;
}

function deliveryOf(update: string): string {
  return update.split(' ')[0] ?? '';
}

/** A hub ends only when it is told to, with status 0 where it could; those that run are known, and have not grown. */
function auditHubs({ exits, memory, instances, fleet, complaints, takenKeys }: Facts): Finding[] {
  const findings: Finding[] = [
    ...complaints.map((subject) => ({ kind: 'unexpected answer', subject })),
    ...takenKeys.map((subject) => ({ kind: 'a revoked key was taken', subject })),
  ];
  for (const { hub, told, code, signal, lastWords } of exits) {
    const subject = `instance ${hub.slot}, life ${hub.life}: status ${code}, signal ${signal}; ${lastWords}`;
    if (told === null) findings.push({ kind: 'a hub ended by itself', subject });
    if (told === 'SIGTERM' && code !== 0) findings.push({ kind: 'a hub did not shut down as told', subject });
  }
  if (instances.length !== fleet)
    findings.push({ kind: 'instances registered otherwise than running', subject: `${instances.length} for ${fleet}` });
  for (const { hub, residentBytes, boundBytes } of memory)
    if (residentBytes > boundBytes)
      findings.push({
        kind: 'memory has grown',
        subject: `instance ${hub.slot}, life ${hub.life}: ${residentBytes} bytes, bound ${boundBytes}`,
      });
  return findings;
}

function totalsOf({ events, publications, receipts, deliveries, watchers, updateWatchers, exits, moves }: Facts): Record<string, number> {
  const answers = publications.map(({ answers }) => answers);
  return {
    'events stored': events.length,
    'publishes acknowledged': answers.filter((all) => all.some(isAcknowledgement)).length,
    'publishes refused at least once': answers.filter((all) => all.includes('refused')).length,
    'publishes without an answer at least once': answers.filter((all) => all.includes('unknown')).length,
    'publishes never acknowledged': answers.filter((all) => !all.some(isAcknowledgement)).length,
    deliveries: deliveries.length,
    'requests received': receipts.length,
    'requests that were repeats': receipts.length - new Set(receipts.map(({ webhook, eventId }) => `${webhook} ${eventId}`)).size,
    'events seen live': watchers.reduce((sum, { seen }) => sum + seen.length, 0),
    'updates seen live': updateWatchers.reduce((sum, { seen }) => sum + seen.length, 0),
    'connections of subscribers': [...watchers, ...updateWatchers].reduce((sum, { connections }) => sum + connections, 0),
    'hubs that ended': exits.length,
    'changes of targets': moves.length,
  };
}

function groupBy<T, K>(items: readonly T[], keyOf: (item: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group) group.push(item);
    else groups.set(key, [item]);
  }
  return groups;
}

function countBy<T, K>(items: readonly T[], keyOf: (item: T) => K): Map<K, number> {
  return new Map([...groupBy(items, keyOf)].map(([key, group]) => [key, group.length]));
}
