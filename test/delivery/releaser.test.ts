import { Releaser } from '../../src/delivery/claim/releaser';
import { Facts } from '../../src/facts';
import { deliveryId } from '../../src/ids';
import { silentLog } from '../../src/log';
import type { Database, Tx } from '../../src/store/database';
import { liveWebhook, turns } from './parts';

/** A database whose transactions a test lets through or fails, one after the other. */
function heldDatabase() {
  const waiting: { commit: () => void; fail: () => void }[] = [];
  const written: unknown[][] = [];
  const tx = {
    dialect: { oneOf: (_: string, values: readonly string[]) => ({ sql: '', parameters: [...values] }) },
    execute: async (_: string, parameters: unknown[]) => written.push(parameters),
  } as unknown as Tx;
  const transaction = (work: (tx: Tx) => Promise<unknown>) =>
    new Promise((resolve, reject) => {
      waiting.push({ commit: () => void work(tx).then(resolve), fail: () => reject(new Error('injected')) });
    });
  return { database: { transaction } as unknown as Database, waiting, written };
}

function releasing() {
  const held = heldDatabase();
  const facts = new Facts();
  const told: [string, readonly string[]][] = [];
  facts.deliveriesReleased.on(({ deliveryIds }) => void told.push(['released', deliveryIds]));
  facts.releaseFailed.on(({ deliveryIds }) => void told.push(['failed', deliveryIds]));
  return { ...held, told, releaser: new Releaser({ instanceId: 'ins_here', database: held.database, log: silentLog, facts }) };
}

const [first, second] = [liveWebhook(), liveWebhook()];
const [a1, a2, b1] = [deliveryId(1, first.id), deliveryId(2, first.id), deliveryId(1, second.id)];

/** Whether a promise has resolved by now. */
async function isDone(promise: Promise<void>): Promise<boolean> {
  let done = false;
  void promise.then(() => {
    done = true;
  });
  await turns(2);
  return done;
}

describe('What is released', () => {
  test('is told when it is anybody’s, and not before', async () => {
    const { releaser, waiting, told, written } = releasing();
    releaser.release([a1, a2]);
    await turns(2);
    expect(told).toEqual([]);
    waiting[0]?.commit();
    await turns(2);
    expect([told, written]).toEqual([[['released', [a1, a2]]], [[a1, a2, 'ins_here']]]);
  });

  test('is told to have failed where the database does', async () => {
    const { releaser, waiting, told } = releasing();
    releaser.release([a1]);
    await turns(2);
    waiting[0]?.fail();
    await releaser.drain();
    expect(told).toEqual([['failed', [a1]]]);
  });

  test('is nothing where nothing is given', async () => {
    const { releaser, waiting } = releasing();
    releaser.release([]);
    await releaser.drain();
    expect(waiting).toEqual([]);
  });

  test('is written in transactions of a bounded size', async () => {
    const { releaser, waiting, written, told } = releasing();
    releaser.release(Array.from({ length: 2_500 }, (_, index) => deliveryId(index + 1, first.id)));
    for (let count = 0; count < 3; count++) {
      await turns(2);
      waiting[count]?.commit();
    }
    await releaser.drain();
    expect(written.map((parameters) => parameters.length - 1)).toEqual([1_000, 1_000, 500]);
    expect(told.map(([what, ids]) => [what, ids.length])).toEqual([
      ['released', 1_000],
      ['released', 1_000],
      ['released', 500],
    ]);
  });

  test('together is written together, of however many webhooks it is', async () => {
    const { releaser, waiting, written } = releasing();
    releaser.release([a1, a2]);
    releaser.release([b1]);
    await turns(2);
    expect(waiting).toHaveLength(1);
    waiting[0]?.commit();
    await releaser.drain();
    expect(written).toEqual([[a1, a2, b1, 'ins_here']]);
  });
});

describe('Waiting for a webhook', () => {
  test('takes until all of it has been written, also what came meanwhile, and nothing of another', async () => {
    const { releaser, waiting } = releasing();
    releaser.release([a1]);
    await turns(2);
    releaser.release([a2]);
    const ofFirst = releaser.released(first.id);
    expect(await isDone(releaser.released(liveWebhook().id))).toBe(true);
    waiting[0]?.commit();
    expect(await isDone(ofFirst)).toBe(false);
    releaser.release([b1]);
    waiting[1]?.fail();
    expect(await isDone(ofFirst)).toBe(true);
    expect(await isDone(releaser.released(second.id))).toBe(false);
    const drained = releaser.drain();
    expect(await isDone(drained)).toBe(false);
    waiting[2]?.commit();
    expect(await isDone(drained)).toBe(true);
    expect(await isDone(releaser.released(second.id))).toBe(true);
  });
});
