import { balance, type Evidence, type Plan, percentile, type Receipt, type Sighting } from '../../src/demo/balance';

const hook: Plan = { name: 'hook', eventTypes: ['*'], what: '', refusals: 0, wants: (type) => type !== 'other' };

const published = [
  { eventId: 'evt_a', sequence: 2, type: 'a', text: '{"no":1}', sentAt: 100 },
  { eventId: 'evt_b', sequence: 3, type: 'b', text: '{"no":2}', sentAt: 200 },
  { eventId: 'evt_c', sequence: 4, type: 'other', text: '{"no":3}', sentAt: 300 },
];

function receipt(overrides: Partial<Receipt> = {}): Receipt {
  const base = {
    webhook: 'hook',
    eventId: 'evt_a',
    type: 'a',
    isVerified: true,
    status: 204,
    data: Buffer.from('{"no":1}'),
    receivedAt: 105,
  };
  return { ...base, ...overrides };
}

const second = receipt({ eventId: 'evt_b', type: 'b', data: Buffer.from('{"no":2}'), receivedAt: 220 });

function sighting(overrides: Partial<Sighting> = {}): Sighting {
  return { webhook: 'hook', eventId: 'evt_a', status: 'SUCCEEDED', attempt: 1, ...overrides };
}

function evidence(overrides: Partial<Evidence> = {}): Evidence {
  return {
    plans: [hook],
    planned: 3,
    published,
    receipts: [receipt(), second],
    sightings: [sighting(), sighting({ eventId: 'evt_b' })],
    ...overrides,
  };
}

describe('The balance', () => {
  test('holds when every event reached every webhook that wants it, and no other', () => {
    const { columns, total, problems } = balance(evidence());
    expect(problems).toEqual([]);
    expect(columns).toEqual([
      { name: 'hook', wanted: 2, delivered: 2, seen: 2, requests: 2, retried: 0, verified: 2, byteEqual: 2, latenciesMs: [5, 20] },
    ]);
    expect(total).toEqual({ ...columns[0], name: 'all' });
  });

  test('holds over a refusal that was retried, and measures to the first request', () => {
    const receipts = [receipt({ status: 503 }), receipt({ receivedAt: 1_300 }), second];
    const sightings = [sighting({ status: 'RETRYING' }), sighting({ attempt: 2 }), sighting({ eventId: 'evt_b' })];
    const { total, problems } = balance(evidence({ receipts, sightings }));
    expect(problems).toEqual([]);
    expect(total).toMatchObject({ delivered: 2, requests: 3, retried: 1, latenciesMs: [5, 20] });
  });

  test.each<[string, Partial<Evidence>, string]>([
    ['an event that was not published', { planned: 4 }, 'published: 1 of 4 events are missing'],
    [
      'a sequence with a gap',
      { published: published.map((event) => (event.type === 'other' ? { ...event, sequence: 5 } : event)) },
      'published: 3 events have the sequences #2 to #5, which are not as many',
    ],
    ['a delivery that did not arrive', { receipts: [second] }, 'hook: not delivered: 1 (#2 a)'],
    ['a delivery that was not seen', { sightings: [sighting()] }, 'hook: not seen to succeed by the live subscription: 1 (#3 b)'],
    [
      'a signature that was refused',
      { receipts: [receipt({ isVerified: false }), receipt(), second] },
      'hook: signatures that standardwebhooks refused: 1 of 3',
    ],
    [
      'data that differs, though it means the same',
      { receipts: [receipt({ data: Buffer.from('{"no": 1}') }), second] },
      'hook: data not equal to what was published: 1 (#2 a)',
    ],
    ['a delivery that came twice', { receipts: [receipt(), receipt(), second] }, 'hook: delivered more than once: 1 (#2 a)'],
    [
      'an event that the webhook did not ask for',
      { receipts: [receipt(), second, receipt({ eventId: 'evt_c', type: 'other' })] },
      'hook: received without having asked for it: 1 (evt_c)',
    ],
    [
      'a retry that was not shown',
      { receipts: [receipt({ status: 503 }), receipt(), second] },
      'hook: 1 requests were refused, but only 0 retries were seen',
    ],
  ])('names %s', (_what, overrides, problem) => {
    expect(balance(evidence(overrides)).problems).toEqual([problem]);
  });

  test('takes percentiles by nearest rank', () => {
    const values = Array.from({ length: 100 }, (_, index) => 100 - index);
    expect([percentile(values, 50), percentile(values, 99), percentile([7], 99), percentile([], 50)]).toEqual([50, 99, 7, undefined]);
  });
});
