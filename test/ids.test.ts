import {
  applicationIdOf,
  attemptId,
  attemptNumberOf,
  attemptRangeOf,
  deliveryId,
  deliveryIdOf,
  deliveryRangeOf,
  idRange,
  isId,
  kindOf,
  newApiKeyId,
  newApplicationId,
  newEventId,
  newInstanceId,
  newWebhookId,
  sequenceOf,
  webhookIdOf,
} from '../src/ids';

const application = newApplicationId();
const webhook = newWebhookId(application);
const MAX = Number.MAX_SAFE_INTEGER;

describe('Ids', () => {
  test('tell what they name, where it belongs and in which place', () => {
    const event = newEventId(application, 42);
    const delivery = deliveryId(42, webhook);
    const attempt = attemptId(delivery, 3);
    expect([application, newApiKeyId(), newInstanceId(), webhook, event, delivery, attempt].map(kindOf)).toEqual([
      'app',
      'key',
      'ins',
      'whk',
      'evt',
      'dlv',
      'att',
    ]);
    for (const id of [webhook, event, delivery, attempt]) expect(applicationIdOf(id)).toBe(application);
    for (const id of [event, delivery, attempt]) expect(sequenceOf(id)).toBe(42);
    expect(webhookIdOf(delivery)).toBe(webhook);
    expect(deliveryIdOf(attempt)).toBe(delivery);
    expect(attemptNumberOf(attempt)).toBe(3);
  });

  test('carry sequences up to 53 bits', () => {
    for (const sequence of [1, 31, 32, 2 ** 32, MAX]) {
      expect(sequenceOf(newEventId(application, sequence))).toBe(sequence);
      expect(isId('evt', newEventId(application, sequence))).toBe(true);
      expect(sequenceOf(deliveryId(sequence, webhook))).toBe(sequence);
    }
  });

  test('sort as text as their sequences and numbers do', () => {
    const sequences = [1, 2, 9, 10, 31, 32, 33, 1_023, 1_024, 10 ** 6, 2 ** 40, MAX];
    const deliveries = sequences.map((sequence) => deliveryId(sequence, webhook));
    expect([...deliveries].sort()).toEqual(deliveries);
    const events = sequences.map((sequence) => newEventId(application, sequence));
    expect([...events].sort()).toEqual(events);
    const [first = ''] = deliveries;
    const attempts = [1, 2, 31, 32, 1_000_000].map((number) => attemptId(first, number));
    expect([...attempts].sort()).toEqual(attempts);
  });

  test('are random where they must be: an event’s does not follow from its place', () => {
    // 25 random bits: enough to tell a restored database's new event from the old one at the same place.
    const samePlace = Array.from({ length: 100 }, () => newEventId(application, 7));
    expect(new Set(samePlace).size).toBeGreaterThan(95);
    expect(new Set(Array.from({ length: 1_000 }, () => newWebhookId(application))).size).toBe(1_000);
  });

  test('lie in the ranges of what they are below, and nothing else does', () => {
    const within = (id: string, { from, to }: { from: string; to: string }) => id >= from && id < to;
    const delivery = deliveryId(32, webhook);
    expect(within(webhook, idRange('whk', application))).toBe(true);
    expect(within(delivery, idRange('dlv', application))).toBe(true);
    expect(within(delivery, deliveryRangeOf(newEventId(application, 32)))).toBe(true);
    for (const other of [31, 33, 32 * 32])
      expect(within(deliveryId(other, webhook), deliveryRangeOf(newEventId(application, 32)))).toBe(false);
    expect(within(attemptId(delivery, 1), attemptRangeOf(delivery))).toBe(true);
    expect(within(attemptId(deliveryId(32, newWebhookId(application)), 1), attemptRangeOf(delivery))).toBe(false);
    expect(within(newWebhookId(newApplicationId()), idRange('whk', application))).toBe(false);
  });

  test.each([
    '',
    'app',
    'app_',
    `${application}0`,
    application.slice(0, -1),
    application.toUpperCase(),
    application.replace('_', '-'),
    `app_${'w'.repeat(12)}`,
    `app_${'é'.repeat(12)}`,
    `xyz_${'0'.repeat(12)}`,
    `toString_${'0'.repeat(9)}`,
    `${application}\n`,
  ])('in any other form are not taken for one: %j', (text) => {
    expect(isId('app', text)).toBe(false);
    expect(kindOf(text)).toBeUndefined();
  });
});
