import { attemptId } from '../../src/ids';
import type { Facts, Publication, Receipt, StoredDelivery, StoredEvent, Trouble, WatchedWebhook, Watcher } from './facts';
import { audit, findTrouble } from './ledger';

const APP = 'app_1';
const hub = (slot: number, life = 1) => ({ slot, life });
const webhook = (name: string, more: Partial<WatchedWebhook> = {}): WatchedWebhook => ({
  id: `whk_${name}`,
  applicationId: APP,
  name,
  ordering: 'NONE',
  isHopeless: false,
  wants: () => true,
  ...more,
});
const event = (sequence: number, more: Partial<StoredEvent> = {}): StoredEvent => ({
  applicationId: APP,
  sequence,
  id: `evt_${sequence}`,
  type: 'order.created',
  total: 0,
  orderingKey: null,
  no: sequence,
  ...more,
});
const told = ({ id, sequence }: StoredEvent) => ({ id, sequence, deduplicated: false });
const publication = (row: StoredEvent, more: Partial<Publication> = {}): Publication => ({
  applicationId: APP,
  no: row.no ?? 0,
  hasKey: true,
  answers: [told(row)],
  ...more,
});
/** A request that came in the `at`-th second. */
const receipt = (name: string, sequence: number, at = sequence, more: Partial<Receipt> = {}): Receipt => ({
  webhook: name,
  moves: 0,
  eventId: `evt_${sequence}`,
  attempt: 1,
  sender: hub(0),
  arrivedAt: at * 1_000,
  endedAt: at * 1_000 + 5,
  treatment: 'accepted',
  isVerified: true,
  digest: `body ${sequence}`,
  ...more,
});
const delivery = (name: string, sequence: number, more: Partial<StoredDelivery> = {}): StoredDelivery => ({
  id: `dlv_${name}_${sequence}`,
  eventId: `evt_${sequence}`,
  webhookId: `whk_${name}`,
  status: 'SUCCEEDED',
  attemptCount: 1,
  owner: null,
  dueInMs: null,
  ...more,
});
const watcher = (seen: readonly number[], more: Partial<Watcher> = {}): Watcher => ({
  name: 'watcher',
  applicationId: APP,
  after: 0,
  connections: 1,
  seen,
  wants: () => true,
  ...more,
});
const trouble = (kind: Trouble['kind'], from: number, to = from, more: Partial<Trouble> = {}): Trouble => ({
  kind,
  slot: 0,
  life: null,
  from: from * 1_000,
  to: to * 1_000,
  ...more,
});

const [first, second, third] = [event(1), event(2), event(3)];
const ROWS = [first, second, third];

const UPDATES = [1, 2, 3].map((sequence) => `dlv_hook_${sequence} SUCCEEDED 1`);

/** A run of three events, one webhook and one subscriber in which everything went well. */
const GOOD: Facts = {
  webhooks: [webhook('hook')],
  publications: ROWS.map((row) => publication(row)),
  receipts: [1, 2, 3].map((sequence) => receipt('hook', sequence)),
  watchers: [watcher([1, 2, 3])],
  updateWatchers: [{ name: 'watcher', applicationId: APP, connections: 1, seen: [...UPDATES] }],
  moves: [],
  takenKeys: [],
  troubles: [],
  exits: [],
  memory: [{ hub: hub(0), residentBytes: 1, boundBytes: 2 }],
  events: ROWS,
  deliveries: [1, 2, 3].map((sequence) => delivery('hook', sequence)),
  failures: [],
  updates: [
    { applicationId: APP, first: 1, last: 2, updates: UPDATES.slice(0, 2) },
    { applicationId: APP, first: 3, last: 3, updates: UPDATES.slice(2) },
  ],
  instances: ['ins_1'],
  owners: [],
  unfinishedJobs: [],
  complaints: [],
  fleet: 1,
};

const kindsIn = (facts: Partial<Facts>) => [...new Set(audit({ ...GOOD, ...facts }).findings.map(({ kind }) => kind))];
const subjectsIn = (facts: Partial<Facts>) => audit({ ...GOOD, ...facts }).findings.map(({ subject }) => subject);
const without = <T>(items: readonly T[], index: number) => items.filter((_, at) => at !== index);
const replaced = <T>(items: readonly T[], index: number, item: T) => items.map((old, at) => (at === index ? item : old));

test('A run in which nothing went wrong balances', () => {
  expect(audit(GOOD).findings).toEqual([]);
  expect(audit(GOOD).totals).toMatchObject({ 'events stored': 3, 'publishes acknowledged': 3, 'requests that were repeats': 0 });
});

describe('The ledger finds in the log', () => {
  test('a sequence that is missing', () => {
    expect(kindsIn({ events: without(ROWS, 1) })).toContain('sequence missing');
    expect(subjectsIn({ events: without(ROWS, 1) })).toContain('app_1 2');
    expect(kindsIn({ events: without(ROWS, 0) })).toContain('sequence missing');
  });

  test('a sequence that was given out twice, and an id', () => {
    expect(kindsIn({ events: [...ROWS, event(3, { id: 'evt_other', no: null })] })).toContain('sequence doubled');
    expect(kindsIn({ events: [...ROWS, event(4, { id: 'evt_3', no: null })] })).toContain('event id doubled');
  });

  test('an acknowledged event that is not there, or elsewhere than was told', () => {
    const kinds = ['acknowledged and not stored'];
    expect(kindsIn({ events: replaced(ROWS, 2, event(3, { id: 'evt_other' })) })).toEqual(expect.arrayContaining(kinds));
    expect(kindsIn({ publications: [...GOOD.publications, publication(event(4))] })).toEqual(kinds);
    const wrong = publication(third, { answers: [{ id: 'evt_3', sequence: 2, deduplicated: false }] });
    expect(kindsIn({ publications: replaced(GOOD.publications, 2, wrong) })).toEqual(kinds);
  });

  test('what was refused and is stored all the same', () => {
    expect(kindsIn({ publications: replaced(GOOD.publications, 2, publication(third, { answers: ['refused'] })) })).toEqual([
      'refused and stored',
    ]);
    const late = publication(third, { answers: ['refused', { ...told(third), deduplicated: true }] });
    expect(kindsIn({ publications: replaced(GOOD.publications, 2, late) })).toEqual(['refused and stored']);
  });

  test('one publish that was stored twice, but not one that nobody answered', () => {
    const twice = { ...GOOD, events: [...ROWS, event(4, { no: 3 })] };
    expect(audit(twice).findings).toContainEqual({ kind: 'stored too often', subject: 'no 3 of app_1: evt_3, evt_4' });
    const unknown = (hasKey: boolean) => [
      ...GOOD.publications.slice(0, 2),
      publication(third, { hasKey, answers: ['unknown', told(third)] }),
    ];
    const findings = (hasKey: boolean) => audit({ ...twice, publications: unknown(hasKey) }).findings.map(({ kind }) => kind);
    expect(findings(true)).toContain('stored too often');
    expect(findings(false)).not.toContain('stored too often');
  });

  test('a key that was answered with two events, or not recognised', () => {
    const both = publication(third, { answers: [told(third), { ...told(second), deduplicated: true }] });
    expect(kindsIn({ publications: replaced(GOOD.publications, 2, both) })).toContain('one key, two events');
    const anew = publication(third, { answers: [told(third), told(third)] });
    expect(kindsIn({ publications: replaced(GOOD.publications, 2, anew) })).toEqual(['a repeated key was not recognised']);
    const known = publication(third, { answers: [told(third), { ...told(third), deduplicated: true }] });
    expect(kindsIn({ publications: replaced(GOOD.publications, 2, known) })).toEqual([]);
  });
});

describe('The ledger finds at the receivers', () => {
  test('an event that never came, that came and was never accepted, that nobody asked for', () => {
    expect(kindsIn({ receipts: without(GOOD.receipts, 1) })).toEqual(['never sent']);
    expect(kindsIn({ receipts: replaced(GOOD.receipts, 1, receipt('hook', 2, 2, { treatment: 'lost' })) })).toEqual(['not delivered']);
    expect(kindsIn({ webhooks: [webhook('hook', { wants: ({ type }) => type !== 'order.created' })] })).toContain('sent though not wanted');
    expect(kindsIn({ webhooks: [webhook('hook', { applicationId: 'app_2' })] })).toContain('sent though not wanted');
    expect(kindsIn({ receipts: [...GOOD.receipts, receipt('hook', 9)] })).toEqual(['sent though not wanted']);
  });

  test('a wrong signature, and a body that changed between attempts', () => {
    expect(kindsIn({ receipts: replaced(GOOD.receipts, 0, receipt('hook', 1, 1, { isVerified: false })) })).toEqual(['wrong signature']);
    const changed = [receipt('hook', 1, 0, { treatment: 'refused', digest: 'other' }), ...GOOD.receipts];
    expect(kindsIn({ receipts: changed })).toEqual(['body changed between attempts']);
  });

  test('a repeat without a reason, and counts those that have one', () => {
    const repeated = [...GOOD.receipts, receipt('hook', 3, 20)];
    expect(kindsIn({ receipts: repeated })).toEqual(['repeat without a reason']);
    const { findings, repeats } = audit({ ...GOOD, receipts: repeated, troubles: [trouble('kill-hub', 4)] });
    expect(findings).toEqual([]);
    expect([...repeats]).toEqual([['kill-hub', 1]]);
  });
});

describe('A repeat is explained', () => {
  const repeat = receipt('hook', 1, 100, { sender: hub(1) });
  const why = (previous: Partial<Receipt>, ...troubles: Trouble[]) => findTrouble(receipt('hook', 1, 50, previous), repeat, troubles)?.kind;

  test('by a receiver that did not accept', () => {
    const treatments = ['refused', 'lost', 'dropped', 'unanswered'] as const;
    const receipts = [...treatments.map((treatment, at) => receipt('hook', 1, at - 10, { treatment })), ...GOOD.receipts];
    const { findings, repeats } = audit({ ...GOOD, receipts });
    expect(findings).toEqual([]);
    expect([...repeats]).toEqual(treatments.map((treatment) => [treatment, 1]));
  });

  test('by an answer that its hub noticed only when the time was up, as it has written down', () => {
    const receipts = [...GOOD.receipts, receipt('hook', 3, 20, { attempt: 2 })];
    const failure = { id: attemptId('dlv_hook_3', 1), outcome: 'TIMEOUT', durationMs: 1_000 };
    expect([...audit({ ...GOOD, receipts, failures: [failure] }).repeats]).toEqual([['late', 1]]);
    for (const other of [{ durationMs: 999 }, { outcome: 'DISCONNECTED' }, { id: attemptId('dlv_hook_3', 2) }])
      expect(kindsIn({ receipts, failures: [{ ...failure, ...other }] })).toEqual(['repeat without a reason']);
  });

  test('by what happened to the sender then, and neither before nor after nor to another', () => {
    expect(why({}, trouble('kill-hub', 52))).toBe('kill-hub');
    expect(why({}, trouble('kill-hub', 56))).toBeUndefined();
    expect(why({}, trouble('kill-hub', 44))).toBeUndefined();
    expect(why({}, trouble('kill-hub', 52, 52, { slot: 2 }))).toBeUndefined();
    expect(why({}, trouble('kill-hub', 52, 52, { life: 2 }))).toBeUndefined();
    expect(why({}, trouble('freeze-hub', 40, 60))).toBe('freeze-hub');
  });

  test('by what happened to the database then', () => {
    expect(why({}, trouble('kill-database', 48, 51, { slot: null }))).toBe('kill-database');
    expect(why({}, trouble('stall-database', 30, 49))).toBe('stall-database');
    expect(why({}, trouble('kill-database', 60, 70, { slot: null }))).toBeUndefined();
  });

  test('by what happened to whoever repeated it', () => {
    expect(why({}, trouble('freeze-hub', 80, 99, { slot: 1 }))).toBe('freeze-hub');
  });

  test('never by a shutdown, a lost commit or Redis', () => {
    const harmless = (['stop-hub', 'lose-commit', 'lose-answer'] as const).map((kind) => trouble(kind, 50));
    expect(why({}, ...harmless, trouble('kill-redis', 50, 50, { slot: null }))).toBeUndefined();
  });
});

describe('The ledger finds in the order', () => {
  test('more repeats of a STRICT webhook than can have been under way', () => {
    const receipts = [...GOOD.receipts, ...[1, 2, 3].map((sequence) => receipt('hook', sequence, 20))];
    const troubles = [trouble('freeze-hub', 2, 19)];
    expect(kindsIn({ receipts, troubles })).toEqual([]);
    expect(kindsIn({ receipts, troubles, webhooks: [webhook('hook', { ordering: 'STRICT' })] })).toEqual([
      'repeats of more than was under way',
    ]);
  });

  const inOrder = (ordering: 'STRICT' | 'BY_KEY' | 'NONE', sequences: readonly number[], keys: readonly (string | null)[] = []) =>
    kindsIn({
      webhooks: [webhook('hook', { ordering })],
      events: ROWS.map((row, index) => ({ ...row, orderingKey: keys[index] ?? null })),
      receipts: sequences.map((sequence, at) => receipt('hook', sequence, at)),
      troubles: [trouble('kill-database', 0, 10)],
    });

  test('of a STRICT webhook an event that was overtaken', () => {
    expect(inOrder('STRICT', [1, 3, 2])).toEqual(['out of order']);
    expect(inOrder('NONE', [1, 3, 2])).toEqual([]);
  });

  test('of a webhook BY_KEY an event that was overtaken within its key, and no other', () => {
    expect(inOrder('BY_KEY', [2, 1, 3], ['a', 'b', 'a'])).toEqual([]);
    expect(inOrder('BY_KEY', [3, 2, 1], ['a', 'b', 'a'])).toEqual(['out of order']);
    expect(inOrder('BY_KEY', [3, 2, 1])).toEqual([]);
  });

  test('nothing wrong in a repeat of an earlier one', () => {
    expect(inOrder('STRICT', [1, 2, 1, 3])).toEqual([]);
  });
});

describe('The ledger finds after a change', () => {
  const moved = (moves: number, at: number) => ({ webhook: 'hook', moves, at: at * 1_000 });
  const late = { receipts: replaced(GOOD.receipts, 2, receipt('hook', 3, 20)) };

  test('what was sent to a target that a webhook had left', () => {
    expect(kindsIn({ ...late, moves: [moved(1, 10)] })).toEqual(['sent to a former target']);
    expect(kindsIn({ ...late, moves: [moved(1, 18)] })).toEqual([]); // on its way
    expect(kindsIn({ ...late, moves: [{ ...moved(1, 10), webhook: 'other' }] })).toEqual([]);
    expect(kindsIn({ receipts: replaced(GOOD.receipts, 2, receipt('hook', 3, 20, { moves: 1 })), moves: [moved(1, 10)] })).toEqual([]);
    expect(kindsIn({ ...late, moves: [moved(1, 10)], troubles: [trouble('stall-database', 8, 19)] })).toEqual([]);
    expect(kindsIn({ ...late, moves: [moved(1, 10)], troubles: [trouble('stall-database', 8, 19, { slot: 1 })] })).not.toEqual([]);
  });

  test('a hub that takes a key that was revoked', () => {
    expect(kindsIn({ takenKeys: ['a key'] })).toEqual(['a revoked key was taken']);
  });
});

describe('The ledger finds among the deliveries', () => {
  const last = (more: Partial<StoredDelivery>) => {
    const updates = [...UPDATES.slice(0, 2), `dlv_hook_3 ${more.status} 1`];
    return {
      deliveries: replaced(GOOD.deliveries, 2, delivery('hook', 3, more)),
      updates: [{ applicationId: APP, first: 1, last: 3, updates }],
      updateWatchers: [],
    };
  };

  test('one that is missing', () => {
    expect(kindsIn({ deliveries: without(GOOD.deliveries, 0) })).toEqual(['no delivery was stored']);
  });

  test('one that failed though its receiver accepts, and one that succeeded though its receiver does not', () => {
    expect(kindsIn(last({ status: 'FAILED' }))).toEqual(['ended otherwise than it was received']);
    expect(kindsIn(last({ status: 'CANCELLED' }))).toEqual(['ended otherwise than it was received']);
    expect(kindsIn({ webhooks: [webhook('hook', { isHopeless: true })] })).toEqual(['ended otherwise than it was received']);
  });

  test('one that waits, with its row and the owner of its webhook', () => {
    const facts = { ...last({ status: 'RETRYING', owner: '', dueInMs: -9 }), owners: [{ webhookId: 'whk_hook', owner: 'ins_dead' }] };
    expect(audit({ ...GOOD, ...facts }).findings).toEqual([
      { kind: 'not settled', subject: "dlv_hook_3: RETRYING, 1 attempts, owner , due in -9 ms; its webhook is ins_dead's" },
    ]);
  });

  test('one whose owner is dead', () => {
    expect(kindsIn(last({ status: 'PENDING', owner: 'ins_dead' }))).toEqual(['owned by a dead instance']);
    expect(kindsIn(last({ status: 'PENDING', owner: 'ins_1' }))).toEqual(['not settled']);
  });

  test('a retry job that does not end', () => {
    expect(kindsIn({ unfinishedJobs: ['job_1: RUNNING'] })).toEqual(['retry job not finished']);
  });
});

describe('The ledger finds at the subscribers', () => {
  const seeing = (seen: readonly number[], more: Partial<Watcher> = {}) => kindsIn({ watchers: [watcher(seen, more)] });

  test('an event that was missed, repeated or out of order', () => {
    expect(seeing([1, 3])).toEqual(['not seen live']);
    expect(seeing([1, 2, 2, 3])).toEqual(['seen more than once']);
    expect(seeing([1, 3, 2])).toEqual(['seen out of order']);
  });

  test('one from before its cursor, of a type it did not ask for, or of nobody', () => {
    expect(seeing([1, 2, 3], { after: 1 })).toEqual(['seen though not asked for']);
    expect(seeing([2, 3], { after: 1 })).toEqual([]);
    expect(seeing([1, 2, 3], { wants: () => false })).toEqual(['seen though not asked for']);
    expect(seeing([1, 2, 3, 4])).toEqual(['seen though not asked for']);
  });
});

describe('The ledger finds among the updates', () => {
  const seeing = (seen: readonly string[]) => ({ updateWatchers: [{ name: 'watcher', applicationId: APP, connections: 1, seen }] });

  test('a gap, and a row that has fewer than it says', () => {
    expect(kindsIn({ updates: without(GOOD.updates, 0) })).toContain('gap in the updates');
    const [row, ...rest] = GOOD.updates;
    expect(kindsIn({ updates: [{ ...row, updates: UPDATES.slice(0, 1) } as never, ...rest] })).toContain('gap in the updates');
  });

  test('a delivery that ended otherwise than they say', () => {
    const failed = [...UPDATES.slice(0, 2), 'dlv_hook_3 RETRYING 1'];
    const rows = [{ applicationId: APP, first: 1, last: 3, updates: failed }];
    expect(kindsIn({ updates: rows, ...seeing(failed) })).toEqual(['last update is not what is stored']);
  });

  test('one that was missed, repeated or out of order', () => {
    const kinds = ['updates seen otherwise than stored'];
    expect(kindsIn(seeing(UPDATES.slice(0, 2)))).toEqual(kinds);
    expect(kindsIn(seeing([...UPDATES, ...UPDATES.slice(2)]))).toEqual(kinds);
    expect(kindsIn(seeing([...UPDATES].reverse()))).toEqual(kinds);
  });
});

describe('The ledger finds about the hubs', () => {
  const exit = { hub: hub(0), told: null, code: 1, signal: null, tookMs: 1, lastWords: '' } as const;

  test('one that ended by itself or did not shut down as told', () => {
    expect(kindsIn({ exits: [exit] })).toEqual(['a hub ended by itself']);
    expect(kindsIn({ exits: [{ ...exit, told: 'SIGTERM' }] })).toEqual(['a hub did not shut down as told']);
    expect(kindsIn({ exits: [{ ...exit, told: 'SIGTERM', code: 0 }] })).toEqual([]);
    expect(kindsIn({ exits: [{ ...exit, told: 'SIGKILL', code: null, signal: 'SIGKILL' }] })).toEqual([]);
  });

  test('dead ones that are still registered, and live ones that are not', () => {
    expect(kindsIn({ instances: ['ins_1', 'ins_dead'] })).toEqual(['instances registered otherwise than running']);
    expect(kindsIn({ instances: [] })).toEqual(['instances registered otherwise than running']);
  });

  test('memory beyond its bound, and answers that nothing excuses', () => {
    expect(kindsIn({ memory: [{ hub: hub(0), residentBytes: 3, boundBytes: 2 }] })).toEqual(['memory has grown']);
    expect(kindsIn({ complaints: ['INTERNAL'] })).toEqual(['unexpected answer']);
  });
});
