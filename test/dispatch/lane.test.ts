import { Flow } from '../../src/dispatch/flow';
import { type Job, Lane } from '../../src/dispatch/lane';
import type { LiveWebhook } from '../../src/webhooks/directory';

const job = (deliveryId: string, attemptCount = 0) => ({ deliveryId, attemptCount }) as Job;
const laneWith = (...jobs: Job[]) => {
  const lane = new Lane({ isSending: true } as LiveWebhook, new Flow(1));
  for (const one of jobs) lane.push(one);
  return lane;
};
const drain = (lane: Lane) => {
  const ids: string[] = [];
  for (let next = lane.shift(); next; next = lane.shift()) ids.push(next.deliveryId);
  return ids;
};

test('first attempts go before retries that wait, which get every fourth place', () => {
  const fresh = ['f1', 'f2', 'f3', 'f4', 'f5'].map((id) => job(id));
  expect(drain(laneWith(job('r1', 1), job('r2', 3), ...fresh))).toEqual(['f1', 'f2', 'f3', 'r1', 'f4', 'f5', 'r2']);
});

test('each kind keeps its order, however many there are', () => {
  const ids = Array.from({ length: 500 }, (_, index) => `f${index}`);
  expect(drain(laneWith(...ids.map((id) => job(id))))).toEqual(ids);
});

test('says whether the next one is a retry, and whether any waits', () => {
  const lane = laneWith(job('r1', 1), job('f1'));
  expect([lane.mayHang, lane.hasRetries, lane.queued]).toEqual([false, true, 2]);
  lane.shift();
  expect([lane.mayHang, lane.hasRetries, lane.queued]).toEqual([true, true, 1]);
  lane.shift();
  expect([lane.mayHang, lane.hasRetries, lane.queued]).toEqual([false, false, 0]);
});

test('gives up what it is asked for, of both kinds', () => {
  const lane = laneWith(job('r1', 1), job('f1'), job('r2', 1), job('f2'));
  expect(lane.remove(({ deliveryId }) => deliveryId.endsWith('1')).map(({ deliveryId }) => deliveryId)).toEqual(['f1', 'r1']);
  expect(drain(lane)).toEqual(['f2', 'r2']);
});
