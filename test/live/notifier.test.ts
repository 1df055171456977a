import { createClient } from '@redis/client';
import { systemClock } from '../../src/clock';
import { Facts } from '../../src/facts';
import { Notifier, type Topic } from '../../src/live/notifier';
import type { Log } from '../../src/log';
import { FakeClock } from '../support/fake-clock';
import { Redis } from '../support/redis';
import { freePort } from '../support/server-process';
import { until } from '../support/until';

type Heard = readonly [topic: Topic, ids: readonly string[]];

function doorbellAt(url: string, { instanceId = 'ins_1', clock = systemClock } = {}) {
  const heard: Heard[] = [];
  const said: string[] = [];
  const note = (_facts: object, event: string) => void said.push(event);
  const log: Log = { debug: note, info: note, warn: note, error: note };
  const facts = new Facts();
  facts.changedElsewhere.on(({ topic, ids }) => heard.push([topic, ids]));
  const doorbell = new Notifier({ instanceId, redis: { url }, clock, log, facts });
  doorbell.start();
  return {
    doorbell,
    said,
    /** What came from others; that everything must be looked at after connecting is told apart. */
    heard: () => heard.filter(([topic]) => topic !== 'everything'),
    looksAtAll: () => heard.filter(([topic]) => topic === 'everything').length,
    listening: () => until(() => doorbell.isListening, { description: 'the doorbell to listen' }),
  };
}

describe('The doorbell', () => {
  let redis: Redis;
  const open: Notifier[] = [];
  const started = (...parameters: Parameters<typeof doorbellAt>) => {
    const made = doorbellAt(...parameters);
    open.push(made.doorbell);
    return made;
  };
  beforeAll(async () => {
    redis = await Redis.start();
  });
  afterEach(async () => {
    await Promise.all(open.splice(0).map((doorbell) => doorbell.close()));
  });
  afterAll(() => redis.stop());

  test('is heard by the others and not by the one that rings', async () => {
    const [here, there] = [started(redis.url), started(redis.url, { instanceId: 'ins_2' })];
    await Promise.all([here.listening(), there.listening()]);
    here.doorbell.ring('logs', ['app_1']);
    await until(() => there.heard().length === 1, { description: 'the hint' });
    there.doorbell.ring('keys');
    await until(() => here.heard().length === 1, { description: 'the answer' });
    expect([here.heard(), there.heard()]).toEqual([[['keys', []]], [['logs', ['app_1']]]]);
  });

  test('gathers what is rung at about the same time into one message', async () => {
    const clock = new FakeClock();
    const [here, there] = [started(redis.url, { clock }), started(redis.url, { instanceId: 'ins_2' })];
    await Promise.all([here.listening(), there.listening()]);
    const ids = Array.from({ length: 300 }, (_, index) => `app_${index}`);
    for (const id of [...ids, ...ids]) here.doorbell.ring('logs', [id]);
    here.doorbell.ring('webhooks', ['app_7']);
    clock.advance(1_000);
    await until(() => there.heard().length === 2, { description: 'both topics' });
    expect(there.heard()).toEqual([
      ['logs', ids],
      ['webhooks', ['app_7']],
    ]);
  });

  test('says that everything has changed instead of a list without end', async () => {
    const [here, there] = [started(redis.url), started(redis.url, { instanceId: 'ins_2' })];
    await Promise.all([here.listening(), there.listening()]);
    expect(there.looksAtAll()).toBe(1);
    here.doorbell.ring(
      'logs',
      Array.from({ length: 501 }, (_, index) => `app_${index}`),
    );
    await until(() => there.looksAtAll() === 2, { description: 'the hint' });
    expect(there.heard()).toEqual([]);
  });

  test('does not mind what others say on its channel', async () => {
    const there = started(redis.url);
    await there.listening();
    const stranger = createClient({ url: redis.url });
    await stranger.connect();
    for (const message of ['', '{', 'null', '[]', '{"said":1}', '{"said":{"logs":"app_1","riot":["x"]}}', '{"said":{"keys":[]}}'])
      await stranger.publish('livehook.doorbell', message);
    stranger.destroy();
    await until(() => there.heard().length > 0, { description: 'the last message' });
    expect(there.heard()).toEqual([['keys', []]]);
    expect(there.said).toEqual(['doorbell.connected']);
  });

  test('says once that Redis is away, drops hints meanwhile, and looks at everything when it is back', async () => {
    const [here, there] = [started(redis.url), started(redis.url, { instanceId: 'ins_2' })];
    await Promise.all([here.listening(), there.listening()]);
    await redis.kill();
    await until(() => !here.doorbell.isListening && !there.doorbell.isListening, { description: 'both to notice' });
    for (let count = 0; count < 1_000; count++) here.doorbell.ring('logs', ['app_lost']);
    await redis.restart();
    await Promise.all([here.listening(), there.listening()]);
    expect([here.looksAtAll(), there.looksAtAll()]).toEqual([2, 2]);
    here.doorbell.ring('logs', ['app_1']);
    await until(() => there.heard().length > 0, { description: 'a hint after the restart' });
    expect(there.heard()).toEqual([['logs', ['app_1']]]);
    expect(here.said).toEqual(['doorbell.connected', 'doorbell.away', 'doorbell.connected']);
  });

  test('notices a Redis that hangs, holds nobody up, and connects again', async () => {
    const here = started(redis.url);
    await here.listening();
    redis.freeze();
    here.doorbell.ring('logs', ['app_1']); // its answer never comes
    await until(() => !here.doorbell.isListening, { description: 'the silence to be noticed' });
    redis.thaw();
    await here.listening();
    expect(here.said).toEqual(['doorbell.connected', 'doorbell.away', 'doorbell.connected']);
  });

  test('is closed while Redis hangs, is away, or was never there', async () => {
    const nowhere = started(`redis://127.0.0.1:${await freePort()}`);
    await until(() => nowhere.said.length > 0, { description: 'the first attempt to fail' });
    nowhere.doorbell.ring('keys');
    await nowhere.doorbell.close();
    expect(nowhere.said).toEqual(['doorbell.away']);

    const here = started(redis.url);
    await here.listening();
    redis.freeze();
    here.doorbell.ring('keys');
    await here.doorbell.close();
    redis.thaw();
    expect(here.said).toEqual(['doorbell.connected']);
  });

  test('delivers its last words when it is closed', async () => {
    const [here, there] = [started(redis.url, { clock: new FakeClock() }), started(redis.url, { instanceId: 'ins_2' })];
    await Promise.all([here.listening(), there.listening()]);
    here.doorbell.ring('deliveries');
    await here.doorbell.close();
    await until(() => there.heard().length > 0, { description: 'the last hint' });
    expect(there.heard()).toEqual([['deliveries', []]]);
  });

  test('is silent without a Redis', async () => {
    const facts = new Facts();
    facts.changedElsewhere.on(fail);
    const doorbell = new Notifier({
      instanceId: 'ins_1',
      redis: undefined,
      clock: systemClock,
      log: { debug: fail, info: fail, warn: fail, error: fail },
      facts,
    });
    doorbell.start();
    doorbell.ring('keys');
    expect(doorbell.isListening).toBe(false);
    await doorbell.close();
  });
});

function fail(): never {
  throw new Error('expected nothing to happen');
}
