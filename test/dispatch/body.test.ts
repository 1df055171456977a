import { bodyFor, bodyOf } from '../../src/dispatch/body';
import { Event } from '../../src/events/event';
import type { PayloadQuery } from '../../src/webhooks/payload-query';
import { WebhookFormat } from '../../src/webhooks/webhook';

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

function queryThat(run: PayloadQuery['run']): PayloadQuery & { readonly runs: () => number } {
  let runs = 0;
  return {
    key: 'a-document',
    types: null,
    condition: null,
    problem: null,
    runs: () => runs,
    run: (event) => {
      runs++;
      return run(event);
    },
  };
}

describe('A body', () => {
  test('has the payload as its data, byte for byte, in the fixed order of its keys', () => {
    expect(bodyOf(eventWith('{"b":1,"10":2,"2":1.50}')).toString()).toBe(
      '{"id":"evt_0000000000010000000000700000","type":"order.created","timestamp":"2026-01-31T12:00:00.000Z","sequence":7,"data":{"b":1,"10":2,"2":1.50}}',
    );
  });

  test('of a payload query is made once an event and document, however many webhooks ask at once', async () => {
    const event = eventWith('{}');
    const query = queryThat(async () => '{"event":{"id":"x"}}');
    const bodies = await Promise.all(Array.from({ length: 5 }, () => bodyFor(event, null, query, WebhookFormat.STANDARD)));
    expect(query.runs()).toBe(1);
    for (const body of bodies) expect('bytes' in body && body.bytes.toString()).toContain('"data":{"event":{"id":"x"}}}');
  });

  test('that was fixed before is sent again, whatever the webhook asks for now', async () => {
    const fixed = { key: '', bytes: Buffer.from('{"as":"it was"}') };
    const query = queryThat(async () => '{}');
    expect(await bodyFor(eventWith('{}'), fixed, query, WebhookFormat.STANDARD)).toBe(fixed);
    expect(query.runs()).toBe(0);
  });

  test('of a payload query that fails is a problem in a sentence, and is tried anew the next time', async () => {
    const event = eventWith('{}');
    const query = queryThat(async () => {
      throw new Error('event.get: out of order');
    });
    for (let attempt = 1; attempt <= 2; attempt++) {
      const body = await bodyFor(event, null, query, WebhookFormat.STANDARD);
      expect(body).toEqual({ problem: expect.stringContaining('event.get: out of order') });
      expect(query.runs()).toBe(attempt);
    }
  });
});
