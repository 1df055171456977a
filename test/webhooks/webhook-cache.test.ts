import { randomBytes } from 'node:crypto';
import { readConfig } from '../../src/config';
import { Facts } from '../../src/facts';
import { silentLog } from '../../src/log';
import type { Database } from '../../src/store/database';
import { Seal } from '../../src/webhooks/seal';
import { WebhookCache } from '../../src/webhooks/webhook-cache';
import { FakeClock } from '../support/fake-clock';

/** Applications without webhooks, all at version 1. */
const read = {
  dialect: { oneOf: (_column: string, values: readonly string[]) => ({ sql: '1 = 1', parameters: values }) },
  query: async (sql: string, parameters: readonly string[]) =>
    sql.includes('FROM counters') ? parameters.map((id) => ({ application_id: id, version: 1 })) : [],
};

function cacheOf(maxApplications: number): WebhookCache {
  return new WebhookCache(
    {
      database: { urgentRead: read } as unknown as Database,
      seal: new Seal(randomBytes(32)),
      config: readConfig({}),
      clock: new FakeClock(),
      log: silentLog,
      facts: new Facts(),
      compilePayloadQuery: () => {
        throw new Error('no payload queries here');
      },
    },
    maxApplications,
  );
}

describe('WebhookCache', () => {
  test('forgets the application that was asked for least recently, not the one that was loaded first', async () => {
    const cache = cacheOf(2);
    await cache.know('app_busy');
    await cache.know('app_quiet');
    await cache.know('app_busy');
    await cache.know('app_new');
    expect(cache.peek('app_quiet')).toBeUndefined();
    expect(cache.peek('app_busy')).toMatchObject({ version: 1 });
    expect(cache.peek('app_new')).toMatchObject({ version: 1 });
  });

  test('does not take a look for changes by other instances for use', async () => {
    const cache = cacheOf(2);
    await cache.know('app_quiet');
    await cache.know('app_busy');
    await cache.refreshChanged(['app_quiet']);
    await cache.know('app_new');
    expect(cache.peek('app_quiet')).toBeUndefined();
    expect(cache.peek('app_busy')).toBeDefined();
  });
});
