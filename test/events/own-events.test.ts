import { OwnEvents } from '../../src/events/own-events';
import { silentLog } from '../../src/log';

const EVENT = { applicationId: 'app_1', type: 'livehook.webhook.failing', payload: { webhookId: 'whk_1' } } as const;

function logging() {
  const lines: unknown[] = [];
  return {
    lines,
    log: { ...silentLog, warn: (facts: object, message: string) => void lines.push({ ...facts, message }) } as typeof silentLog,
  };
}

describe("the hub's own events", () => {
  test('that cannot be stored are logged, and nobody hears of the failure', async () => {
    const { lines, log } = logging();
    const ownEvents = new OwnEvents({ append: () => Promise.reject(new Error('away')), log });
    ownEvents.publish(EVENT);
    await ownEvents.drain();
    expect(lines).toEqual([
      { applicationId: 'app_1', type: EVENT.type, webhookId: 'whk_1', error: 'away', message: 'own_event.not_stored' },
    ]);
  });

  test('are bounded while they wait: beyond 5,000 they are only logged', async () => {
    const { lines, log } = logging();
    let store = () => {};
    const stored = new Promise<never[]>((resolve) => {
      store = () => resolve([]);
    });
    let appended = 0;
    const append = () => {
      appended++;
      return stored;
    };
    const ownEvents = new OwnEvents({ append, log });
    for (let count = 0; count < 5_002; count++) ownEvents.publish(EVENT);
    expect([appended, lines.length]).toEqual([5_000, 2]);
    store();
    await ownEvents.drain();
    ownEvents.publish(EVENT);
    expect(appended).toBe(5_001);
  });
});
