import { Flow } from '../../src/dispatch/flow';
import { InFlight, MAX_IN_FLIGHT } from '../../src/dispatch/in-flight';
import { type Job, Lane } from '../../src/dispatch/lane';
import type { LiveWebhook } from '../../src/webhooks/directory';

function laneOf(applicationId: string, { isTimingOut = false } = {}): Lane {
  const lane = new Lane({ isSending: true, applicationId, timeoutMs: 30_000 } as LiveWebhook, new Flow(1));
  lane.push({ deliveryId: 'd', attemptCount: 0 } as Job);
  lane.isTimingOut = isTimingOut;
  return lane;
}

/** Starts requests of a lane as long as nothing stands in the way, at most so many; returns how many. */
function start(inFlight: InFlight, lane: Lane, most = Number.POSITIVE_INFINITY): number {
  let started = 0;
  while (started < most && inFlight.obstacle(lane) === undefined) {
    inFlight.begin(lane);
    lane.inFlight++;
    started++;
  }
  return started;
}

const end = (inFlight: InFlight, lane: Lane) => {
  lane.inFlight--;
  inFlight.end(lane);
};

const manyOf = (applicationId: string, count: number) => Array.from({ length: count }, () => laneOf(applicationId));

describe('Requests in flight', () => {
  test('of one application are at most half of all, whatever its webhooks do; another begins at once', () => {
    const inFlight = new InFlight();
    const started = manyOf('hostile', 2_000).reduce((sum, lane) => sum + start(inFlight, lane, 10), 0);
    expect(started).toBe(MAX_IN_FLIGHT / 2);
    expect(start(inFlight, laneOf('other'), 10)).toBe(10);
  });

  test('of webhooks that hang leave room for the others of their application', () => {
    const inFlight = new InFlight();
    for (const lane of manyOf('shop', 100)) start(inFlight, lane, 10);
    expect(inFlight.total).toBe(MAX_IN_FLIGHT / 4 + 2 * (100 - Math.ceil(MAX_IN_FLIGHT / 40)));
    expect(start(inFlight, laneOf('shop'), 10)).toBe(2);
    for (let count = 0; count < 1_000; count++) start(inFlight, laneOf('shop', { isTimingOut: true }), 10);
    expect(inFlight.total).toBe((MAX_IN_FLIGHT * 3) / 8);
    expect(start(inFlight, laneOf('shop'), 10)).toBe(2);
  });

  test('of many hostile applications leave room for one that holds nothing', () => {
    const inFlight = new InFlight();
    for (let round = 0; round < 3; round++)
      for (let count = 0; count < 200; count++) for (const lane of manyOf(`hostile ${count}`, 5)) start(inFlight, lane, 10);
    expect(MAX_IN_FLIGHT - inFlight.total).toBeGreaterThanOrEqual(MAX_IN_FLIGHT / 8 - 200);
    for (let count = 0; count < 50; count++) expect(start(inFlight, laneOf(`newcomer ${count}`), 1)).toBe(1);
  });

  test('have a short time each when few slots are left, so that one in thousands of applications cannot keep the last', () => {
    const inFlight = new InFlight();
    const times = Array.from({ length: MAX_IN_FLIGHT }, (_, count) => inFlight.begin(laneOf(`app ${count}`)));
    expect(times.filter((timeoutMs) => timeoutMs === 30_000)).toHaveLength((MAX_IN_FLIGHT * 7) / 8);
    expect(times.filter((timeoutMs) => timeoutMs === 5_000)).toHaveLength(MAX_IN_FLIGHT / 8);
    expect(inFlight.obstacle(laneOf('newcomer'))).toBe('full');
  });

  test('that end let those go on that wait; an application with more than its share by now waits until it has less', () => {
    const inFlight = new InFlight();
    const lanes = [...manyOf('a', 300), ...manyOf('b', 300), ...manyOf('c', 300)];
    for (const lane of lanes) {
      start(inFlight, lane, 10);
      const obstacle = inFlight.obstacle(lane);
      if (obstacle && lane.inFlight < 10) inFlight.hold(lane, obstacle);
    }
    const seen: string[] = [];
    for (const lane of lanes.filter(({ inFlight: under }) => under > 5).slice(0, 100)) {
      while (lane.inFlight > 0) end(inFlight, lane);
      for (let next = inFlight.next(); next; next = inFlight.next()) {
        seen.push(next.webhook.applicationId);
        start(inFlight, next, 1);
        const obstacle = inFlight.obstacle(next);
        if (obstacle) inFlight.hold(next, obstacle);
      }
    }
    expect(new Set(seen)).toEqual(new Set(['b', 'c']));
    expect(inFlight.total).toBeLessThanOrEqual(MAX_IN_FLIGHT);
  });

  test('remember nothing of applications whose requests have ended', () => {
    const inFlight = new InFlight();
    const lane = laneOf('shop');
    start(inFlight, lane, 10);
    inFlight.hold(lane, 'full');
    expect(inFlight.next()).toBe(lane);
    while (lane.inFlight > 0) end(inFlight, lane);
    expect([inFlight.total, inFlight.isNobodyHeld]).toEqual([0, true]);
  });
});
