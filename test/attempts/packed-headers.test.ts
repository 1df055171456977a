import { packHeaders, unpackHeaders } from '../../src/attempts/packed-headers';
import { attemptId, deliveryId, newApplicationId, newEventId, newWebhookId } from '../../src/ids';

const application = newApplicationId();
const delivery = deliveryId(42, newWebhookId(application));
const id = attemptId(delivery, 3);

const standard: (readonly [string, string])[] = [
  ['content-type', 'application/json'],
  ['user-agent', 'Livehook/1.2.3'],
  ['webhook-id', newEventId(application, 42)],
  ['webhook-timestamp', '1764000000'],
  ['webhook-signature', 'v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4='],
  ['livehook-delivery-id', delivery],
  ['livehook-attempt', '3'],
  ['livehook-sequence', '42'],
  ['livehook-event-type', 'order.created'],
];

test('headers come back as they went in, and take little room', () => {
  const text = packHeaders(id, standard);
  expect(unpackHeaders(id, text)).toEqual(standard);
  expect(text.length).toBeLessThan(JSON.stringify(standard).length / 2);
  expect(text).not.toContain(delivery);
});

test("a webhook's own headers follow the standard ones, with their values masked", () => {
  const text = packHeaders(id, [
    ...standard,
    ['traceparent', '00-1-2-00'],
    ['x-key', 'a "quoted" value'],
    ['x-short', 'seven77'],
    ['x-empty', ''],
  ]);
  expect(text).not.toMatch(/quoted|seven/);
  expect(unpackHeaders(id, text)).toEqual([
    ...standard,
    ['traceparent', '00-1-2-00'],
    ['x-key', '••••alue'],
    ['x-short', '••••'],
    ['x-empty', '••••'],
  ]);
});

test('headers that are kept whole have the values of own ones masked, too', () => {
  const text = packHeaders(id, [...standard.slice(1), ['authorization', 'Bearer 0123456789']]);
  expect(text).not.toContain('Bearer');
  expect(unpackHeaders(id, text)).toEqual([...standard.slice(1), ['authorization', '••••6789']]);
});

test.each([
  ['none', []],
  [
    'another content type',
    standard.map(([name, value]) => [name, name === 'content-type' ? 'application/cloudevents+json' : value] as const),
  ],
  ['another order', [...standard].reverse()],
  ['fewer', standard.slice(0, 8)],
  ["another delivery's id", standard.map(([name, value]) => [name, name === 'livehook-delivery-id' ? 'dlv_other' : value] as const)],
  ['another number', standard.map(([name, value]) => [name, name === 'livehook-attempt' ? '4' : value] as const)],
  ['another sequence', standard.map(([name, value]) => [name, name === 'livehook-sequence' ? '043' : value] as const)],
])('headers that do not follow from the id are kept whole: %s', (_, headers) => {
  expect(unpackHeaders(id, packHeaders(id, headers))).toEqual(headers);
});

test('rows of earlier versions are read as well', () => {
  const open = [...standard, ['authorization', 'Bearer 0123456789'] as const];
  const masked = [...standard, ['authorization', '••••6789']];
  expect(unpackHeaders(id, JSON.stringify(open.map(([name, value]) => ({ name, value }))))).toEqual(masked);
  expect(unpackHeaders(id, JSON.stringify(open))).toEqual(masked);
});
