import { InFlight, MAX_IN_FLIGHT, type Sending } from '../../src/delivery/in-flight';

type Destination = { -readonly [Name in keyof Sending]: Sending[Name] };

function destinationOf(applicationId: string, { isTimingOut = false } = {}): Destination {
  return { applicationId, timeoutMs: 30_000, inFlight: 0, mayHang: isTimingOut };
}

/** Starts requests of a destination as long as nothing stands in the way, at most so many; returns how many. */
function start(inFlight: InFlight<Destination>, destination: Destination, most = Number.POSITIVE_INFINITY): number {
  let started = 0;
  while (started < most && inFlight.obstacle(destination) === undefined) {
    inFlight.begin(destination);
    destination.inFlight++;
    started++;
  }
  return started;
}

const end = (inFlight: InFlight<Destination>, destination: Destination) => {
  destination.inFlight--;
  inFlight.end(destination);
};

const manyOf = (applicationId: string, count: number) => Array.from({ length: count }, () => destinationOf(applicationId));

describe('Requests in flight', () => {
  test('of one application are at most half of all, whatever its webhooks do; another begins at once', () => {
    const inFlight = new InFlight<Destination>();
    const started = manyOf('hostile', 2_000).reduce((sum, destination) => sum + start(inFlight, destination, 10), 0);
    expect(started).toBe(MAX_IN_FLIGHT / 2);
    expect(start(inFlight, destinationOf('other'), 10)).toBe(10);
  });

  test('of webhooks that hang leave room for the others of their application', () => {
    const inFlight = new InFlight<Destination>();
    for (const destination of manyOf('shop', 100)) start(inFlight, destination, 10);
    expect(inFlight.total).toBe(MAX_IN_FLIGHT / 4 + 2 * (100 - Math.ceil(MAX_IN_FLIGHT / 40)));
    expect(start(inFlight, destinationOf('shop'), 10)).toBe(2);
    for (let count = 0; count < 1_000; count++) start(inFlight, destinationOf('shop', { isTimingOut: true }), 10);
    expect(inFlight.total).toBe((MAX_IN_FLIGHT * 3) / 8);
    expect(start(inFlight, destinationOf('shop'), 10)).toBe(2);
  });

  test('of many hostile applications leave room for one that holds nothing', () => {
    const inFlight = new InFlight<Destination>();
    for (let round = 0; round < 3; round++)
      for (let count = 0; count < 200; count++) for (const destination of manyOf(`hostile ${count}`, 5)) start(inFlight, destination, 10);
    expect(MAX_IN_FLIGHT - inFlight.total).toBeGreaterThanOrEqual(MAX_IN_FLIGHT / 8 - 200);
    for (let count = 0; count < 50; count++) expect(start(inFlight, destinationOf(`newcomer ${count}`), 1)).toBe(1);
  });

  test('have a short time each when few slots are left, so that one in thousands of applications cannot keep the last', () => {
    const inFlight = new InFlight<Destination>();
    const times = Array.from({ length: MAX_IN_FLIGHT }, (_, count) => inFlight.begin(destinationOf(`app ${count}`)));
    expect(times.filter((timeoutMs) => timeoutMs === 30_000)).toHaveLength((MAX_IN_FLIGHT * 7) / 8);
    expect(times.filter((timeoutMs) => timeoutMs === 5_000)).toHaveLength(MAX_IN_FLIGHT / 8);
    expect(inFlight.obstacle(destinationOf('newcomer'))).toBe('full');
  });

  test('that end let those go on that wait; an application with more than its share by now waits until it has less', () => {
    const inFlight = new InFlight<Destination>();
    const destinations = [...manyOf('a', 300), ...manyOf('b', 300), ...manyOf('c', 300)];
    for (const destination of destinations) {
      start(inFlight, destination, 10);
      const obstacle = inFlight.obstacle(destination);
      if (obstacle && destination.inFlight < 10) inFlight.hold(destination, obstacle);
    }
    const seen: string[] = [];
    for (const destination of destinations.filter(({ inFlight: under }) => under > 5).slice(0, 100)) {
      while (destination.inFlight > 0) end(inFlight, destination);
      for (let next = inFlight.next(); next; next = inFlight.next()) {
        seen.push(next.applicationId);
        start(inFlight, next, 1);
        const obstacle = inFlight.obstacle(next);
        if (obstacle) inFlight.hold(next, obstacle);
      }
    }
    expect(new Set(seen)).toEqual(new Set(['b', 'c']));
    expect(inFlight.total).toBeLessThanOrEqual(MAX_IN_FLIGHT);
  });

  test('remember nothing of applications whose requests have ended', () => {
    const inFlight = new InFlight<Destination>();
    const destination = destinationOf('shop');
    start(inFlight, destination, 10);
    inFlight.hold(destination, 'full');
    expect(inFlight.next()).toBe(destination);
    while (destination.inFlight > 0) end(inFlight, destination);
    expect([inFlight.total, inFlight.isNobodyHeld]).toEqual([0, true]);
  });
});
