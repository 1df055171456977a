import { MINUTE } from '../../src/clock';
import { DeliveryStatus } from '../../src/deliveries/delivery';
import type { Verdict } from '../../src/delivery/completion/settle';
import type { Exchange } from '../../src/delivery/transport/exchange';
import { Facts } from '../../src/facts';
import { HealthMonitor } from '../../src/health/health-monitor';
import { silentLog } from '../../src/log';
import { readHealth, type StoredHealth } from '../../src/webhooks/health';
import type { LiveWebhook } from '../../src/webhooks/webhook-cache';
import { ANSWERED_500, jobFor, SUCCESS } from '../delivery/parts';
import { type Store, withStore } from '../store/with-store';
import { describeEachDatabase } from '../support/databases';
import { FakeClock } from '../support/fake-clock';
import { until } from '../support/until';

const GONE: Exchange = { ...ANSWERED_500, statusCode: 410, error: 'the receiver answered 410' };
const OWN_TYPE = 'livehook.webhook.failing';

interface How {
  readonly type?: string;
  readonly at?: number;
}

class Rig {
  readonly clock = new FakeClock();
  readonly facts = new Facts();
  readonly monitor: HealthMonitor;
  webhook: LiveWebhook;
  readonly #store: Store;
  #sequence = 0;

  constructor(store: Store, webhook: LiveWebhook) {
    this.#store = store;
    this.webhook = webhook;
    this.monitor = this.another(this.facts);
  }

  /** The monitor of another instance on the same database, where `facts` are its own. */
  another(facts = new Facts()): HealthMonitor {
    const { database, webhooks, operationalEvents } = this.#store;
    return new HealthMonitor({
      database,
      webhooks,
      operationalEvents,
      clock: this.clock,
      log: silentLog,
      disableAfterMs: 10 * MINUTE,
      facts,
    });
  }

  /** Attempts are written down, one after the other. */
  attempted(exchanges: readonly Exchange[], { type = 'order.created', at = this.clock.now() }: How = {}, facts = this.facts): void {
    const verdicts = exchanges.map((exchange): Verdict => {
      const job = jobFor(this.webhook, ++this.#sequence);
      const request = { url: this.webhook.url, headers: [], body: '', timeoutMs: 1_000 };
      const finished = {
        job: { ...job, event: { ...job.event, type } },
        webhook: this.webhook,
        request,
        exchange,
        body: null,
        startedAt: at,
      };
      const status = exchange.outcome === 'SUCCESS' ? DeliveryStatus.SUCCEEDED : DeliveryStatus.FAILED;
      return { finished: finished as unknown as Verdict['finished'], status, delayMs: null, endedAt: at };
    });
    facts.attemptsSettled.emit({ verdicts, released: verdicts, durationMs: 0 });
  }

  async stored(): Promise<StoredHealth | undefined> {
    return (await readHealth(this.#store.database.read, [this.webhook.id]))[0];
  }

  /** What the log of the application has to say of it. */
  async told(): Promise<string[]> {
    return (await this.#store.rows<{ type: string }>('SELECT type FROM events ORDER BY sequence')).map(({ type }) => type);
  }

  async untilTold(count: number): Promise<string[]> {
    return until(async () => ((await this.told()).length >= count ? this.told() : undefined), { description: `${count} to be told` });
  }

  /** Everything that was noticed is written. */
  async settle(): Promise<void> {
    await this.monitor.stop();
  }
}

async function withRig(makeDatabase: Parameters<typeof withStore>[0], work: (rig: Rig, store: Store) => Promise<void>): Promise<void> {
  await withStore(makeDatabase, async (store) => {
    const { id } = await store.webhook(await store.application(), { retrySchedule: [1, 1, 1, 1] });
    const rig = new Rig(store, await store.live(id));
    await rig.monitor.start();
    await work(rig, store);
    await rig.monitor.stop();
  });
}

describeEachDatabase('The health monitor', (makeDatabase) => {
  test('says that a webhook fails after three failures in a row, once, and since when', async () => {
    await withRig(makeDatabase, async (rig) => {
      const at = rig.clock.now();
      rig.attempted([ANSWERED_500, ANSWERED_500, SUCCESS, ANSWERED_500]);
      rig.clock.advance(1_000);
      rig.attempted([ANSWERED_500]);
      await rig.settle();
      expect([await rig.stored(), await rig.told()]).toEqual([undefined, []]);
      rig.clock.advance(1_000);
      rig.attempted([ANSWERED_500, ANSWERED_500, ANSWERED_500]);
      await rig.settle();
      expect(await rig.stored()).toMatchObject({
        failingSince: at,
        isCircuitOpen: false,
        reason: 'the receiver answered 500',
        disabledAt: null,
      });
      expect(await rig.told()).toEqual(['livehook.webhook.failing']);
    });
  });

  test('says so after as many failures as one delivery has attempts, where those are fewer', async () => {
    await withRig(makeDatabase, async (rig) => {
      rig.webhook = { ...rig.webhook, retryDelaysMs: [] };
      rig.attempted([ANSWERED_500]);
      await rig.settle();
      expect(await rig.told()).toEqual(['livehook.webhook.failing']);
    });
  });

  test('counts from the start again where the webhook was changed', async () => {
    await withRig(makeDatabase, async (rig) => {
      rig.attempted([ANSWERED_500, ANSWERED_500]);
      rig.webhook = { ...rig.webhook, version: rig.webhook.version + 1 };
      rig.attempted([ANSWERED_500]);
      await rig.settle();
      expect(await rig.stored()).toBeUndefined();
    });
  });

  test('writes nothing down of a webhook as it was before a change', async () => {
    await withRig(makeDatabase, async (rig, store) => {
      await store.execute('UPDATE webhooks SET version = version + 1 WHERE id = ?', [rig.webhook.id]);
      rig.attempted([ANSWERED_500, ANSWERED_500, ANSWERED_500]);
      await rig.settle();
      expect([await rig.stored(), await rig.told()]).toEqual([undefined, []]);
    });
  });

  test('says that it has recovered with the first success', async () => {
    await withRig(makeDatabase, async (rig) => {
      rig.attempted([ANSWERED_500, ANSWERED_500, ANSWERED_500, SUCCESS, SUCCESS]);
      await rig.settle();
      expect(await rig.stored()).toBeUndefined();
      expect(await rig.told()).toEqual(['livehook.webhook.failing', 'livehook.webhook.recovered']);
    });
  });

  test('tells nobody what deliveries of the hub’s own events bring to light, but knows it', async () => {
    await withRig(makeDatabase, async (rig) => {
      rig.attempted([ANSWERED_500, ANSWERED_500, ANSWERED_500], { type: OWN_TYPE });
      await until(() => rig.stored(), { description: 'the failures to be stored' });
      rig.attempted([SUCCESS], { type: OWN_TYPE });
      await rig.settle();
      expect([await rig.stored(), await rig.told()]).toEqual([undefined, []]);
    });
  });

  test('disables a webhook whose receiver is gone, at once and once', async () => {
    await withRig(makeDatabase, async (rig, store) => {
      rig.attempted([GONE, GONE]);
      await rig.settle();
      expect(await rig.told()).toEqual(['livehook.webhook.disabled']);
      expect(await store.rows('SELECT status FROM webhooks')).toEqual([{ status: 'DISABLED' }]);
      expect(await rig.stored()).toMatchObject({ reason: 'The receiver answered 410 Gone', disabledAt: expect.any(Number) });
    });
  });

  test('disables one that has failed for too long, and not one that was given a fresh start elsewhere a moment ago', async () => {
    await withRig(makeDatabase, async (rig, store) => {
      rig.attempted([ANSWERED_500, ANSWERED_500, ANSWERED_500]);
      await rig.untilTold(1);
      rig.clock.advance(10 * MINUTE);
      await store.execute('UPDATE webhook_health SET failing_since = ?', [rig.clock.now()]);
      rig.attempted([ANSWERED_500]);
      await rig.settle();
      expect(await store.rows('SELECT status FROM webhooks')).toEqual([{ status: 'ACTIVE' }]);
      await store.execute('UPDATE webhook_health SET failing_since = ?', [rig.clock.now() - 10 * MINUTE]);
      rig.attempted([ANSWERED_500]);
      await rig.settle();
      expect(await store.rows('SELECT status FROM webhooks')).toEqual([{ status: 'DISABLED' }]);
      expect(await rig.stored()).toMatchObject({ reason: 'No attempt has succeeded for 10 minutes (the receiver answered 500)' });
      expect(await rig.told()).toEqual(['livehook.webhook.failing', 'livehook.webhook.disabled']);
    });
  });

  test('knows an open circuit until it closes, and the failures longer than that', async () => {
    await withRig(makeDatabase, async (rig) => {
      const { webhook, clock } = rig;
      const change = { exchange: ANSWERED_500, eventType: 'order.created', at: clock.now() };
      rig.facts.circuitChanged.emit({ webhook, change: { ...change, isOpen: true } });
      await rig.settle();
      expect(await rig.stored()).toMatchObject({ isCircuitOpen: true, failingSince: clock.now() });
      rig.facts.circuitChanged.emit({ webhook, change: { ...change, isOpen: false } });
      await rig.settle();
      expect(await rig.stored()).toMatchObject({ isCircuitOpen: false });
      expect(await rig.told()).toEqual(['livehook.webhook.failing']);
    });
  });

  test('of several instances one tells the world, and whichever sees the success tells of that', async () => {
    await withRig(makeDatabase, async (rig) => {
      const elsewhere = new Facts();
      const other = rig.another(elsewhere);
      await other.start();
      rig.attempted([ANSWERED_500, ANSWERED_500, ANSWERED_500]);
      rig.attempted([ANSWERED_500, ANSWERED_500, ANSWERED_500], {}, elsewhere);
      await Promise.all([rig.settle(), other.stop()]);
      expect(await rig.told()).toEqual(['livehook.webhook.failing']);
      const third = new Facts();
      const late = rig.another(third);
      await late.start(); // it knows from the database that the webhook fails
      rig.attempted([SUCCESS], {}, third);
      await late.stop();
      expect([await rig.told(), await rig.stored()]).toEqual([['livehook.webhook.failing', 'livehook.webhook.recovered'], undefined]);
    });
  });
});
