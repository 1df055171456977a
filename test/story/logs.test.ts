import { createSqliteDatabase } from '../support/databases';
import { until } from '../support/until';
import { withHub } from '../support/with-hub';

interface Line {
  readonly level: string;
  readonly event: string;
  readonly facts: Readonly<Record<string, unknown>>;
}

function recorder() {
  const lines: Line[] = [];
  const at = (level: string) => (facts: object, event: string) => void lines.push({ level, event, facts: { ...facts } });
  return { lines, log: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') } };
}

describe('The log', () => {
  test('has a line for each commit, each settle, each request and each socket, and no payload', async () => {
    const { lines, log } = recorder();
    const of = (event: string) => lines.filter((line) => line.event === event);
    await withHub(
      createSqliteDatabase,
      async ({ application, receiver }) => {
        const shop = await application();
        await shop.webhook('/orders', { retrySchedule: [] });
        receiver.answer('/orders', { status: 500 });
        const watch = shop.client.subscribe('subscription { event { id } }');
        await shop.publish({ payload: { card: 'secret-4711' }, idempotencyKey: 'order-1' });
        await shop.publish({ payload: { card: 'secret-4711' }, idempotencyKey: 'order-1' });
        await until(() => of('attempts.settled').length > 0, { description: 'the settle' });
        await watch.return();
        await shop.client.close();
        await until(() => of('socket.closed').length > 0, { description: 'the end of the socket' });
      },
      { log },
    );
    expect(of('events.committed').slice(0, 2)).toEqual([
      {
        level: 'info',
        event: 'events.committed',
        facts: { publishes: 1, events: 1, deduplicated: 0, deliveries: 1, ms: expect.any(Number) },
      },
      expect.objectContaining({ facts: expect.objectContaining({ events: expect.any(Number) }) }),
    ]);
    expect(of('attempts.settled')).toEqual([
      {
        level: 'info',
        event: 'attempts.settled',
        facts: { attempts: 1, succeeded: 0, retrying: 0, failed: 1, ms: expect.any(Number) },
      },
    ]);
    expect(of('delivery.attempted')).toEqual([expect.objectContaining({ facts: expect.objectContaining({ outcome: 'HTTP_ERROR' }) })]);
    const served = of('request.served');
    expect(served).toContainEqual({
      level: 'debug',
      event: 'request.served',
      facts: { method: 'POST', path: '/graphql', status: 200, ms: expect.any(Number) },
    });
    expect(JSON.stringify(lines)).not.toContain('secret-4711');
  });
});
