import { bodyOf } from '../../src/delivery/request/body';
import { Event } from '../../src/events/event';

function eventWith(payloadText: string): Event {
  return Object.assign(new Event(), {
    applicationId: 'app_000000000001',
    sequence: 7,
    id: 'evt_0000000000010000000000700000',
    type: 'order.created',
    payloadText,
    occurredAt: new Date(Date.UTC(2026, 0, 31, 12)),
  });
}

describe('A body', () => {
  test('has the payload as its data, byte for byte, in the fixed order of its keys', () => {
    expect(bodyOf(eventWith('{"b":1,"10":2,"2":1.50}')).toString()).toBe(
      '{"id":"evt_0000000000010000000000700000","type":"order.created","timestamp":"2026-01-31T12:00:00.000Z","sequence":7,"data":{"b":1,"10":2,"2":1.50}}',
    );
  });
});
