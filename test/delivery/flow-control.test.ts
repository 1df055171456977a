import { grown, shrunk, WIDE } from '../../src/delivery/flow-control/aimd-limit';
import { FlowControl } from '../../src/delivery/flow-control/flow-control';
import type { Exchange } from '../../src/delivery/transport/exchange';
import { Ordering } from '../../src/webhooks/webhook';
import type { LiveWebhook } from '../../src/webhooks/webhook-cache';
import { liveWebhook, SUCCESS } from './parts';

const WEBHOOK = liveWebhook({ maxConcurrency: 8 });

const failure = (statusCode: number, headers: Exchange['responseHeaders'] = []): Exchange => ({
  ...SUCCESS,
  outcome: 'HTTP_ERROR',
  statusCode,
  error: `the receiver answered ${statusCode}`,
  responseHeaders: headers,
});

const flowOf = (overrides: Partial<LiveWebhook> = {}, instances = 1, place = 0) => {
  const webhook = { ...WEBHOOK, ...overrides };
  const flow = new FlowControl(webhook.version);
  const terms = { webhook, fleet: { instances, place } };
  return {
    flow,
    terms,
    /** One request from its start to its end. */
    meet: (exchange: Exchange, now: number) => flow.end(flow.begin(terms, now), exchange, { terms, now, endedAt: now, random: 0 }),
    waitMs: (now: number, inFlight = 0) => flow.waitMs(terms, inFlight, now),
  };
};

describe('a flow', () => {
  test('sends as many at once as the webhook allows', () => {
    const { waitMs, flow, terms } = flowOf();
    expect([waitMs(0, 7), waitMs(0, 8)]).toEqual([0, Number.POSITIVE_INFINITY]);
    expect([flow.isNeutral(terms, 0), flow.caution(0)]).toEqual([true, null]);
  });

  test('is halved by 429, 502, 504 and time-outs, once for what was under way together, and widens again round by round', () => {
    const { flow, terms, meet, waitMs } = flowOf();
    const tickets = [1, 2, 3].map(() => flow.begin(terms, 0));
    for (const ticket of tickets) flow.end(ticket, failure(429), { terms, now: 10, endedAt: 10, random: 0 });
    expect([waitMs(10, 3), waitMs(10, 4)]).toEqual([0, Number.POSITIVE_INFINITY]);
    expect(flow.caution(10)).toMatchObject({ kind: 'THROTTLED', reason: expect.stringContaining('the receiver answered 429') });
    expect(flow.isNeutral(terms, 10)).toBe(false);
    for (let successes = 0; successes < 4; successes++) meet(SUCCESS, 20);
    expect([waitMs(20, 4), waitMs(20, 5)]).toEqual([0, Number.POSITIVE_INFINITY]);
    for (let successes = 0; successes < 5 + 6 + 7; successes++) meet(SUCCESS, 30);
    expect([waitMs(30, 7), flow.caution(30), flow.isNeutral(terms, 30)]).toEqual([0, null, true]);
  });

  test('opens its circuit, tries one request when the time has come, and recovers one at a time', () => {
    const { flow, terms, meet, waitMs } = flowOf();
    for (let failures = 0; failures < 5; failures++) meet({ ...failure(0), outcome: 'CONNECT' }, 0);
    expect([waitMs(0), waitMs(600), flow.mostQueued(terms, 100, 0)]).toEqual([1_000, 400, 0]);
    expect(flow.caution(0)?.kind).toBe('CIRCUIT_OPEN');
    expect([waitMs(1_000, 3), flow.mostQueued(terms, 100, 1_000)]).toEqual([0, 1]);
    const probe = flow.begin(terms, 1_000);
    expect(waitMs(1_000, 1)).toBe(Number.POSITIVE_INFINITY);
    flow.end(probe, SUCCESS, { terms, now: 1_001, endedAt: 1_001, random: 0 });
    expect([waitMs(1_001, 0), flow.mostQueued(terms, 100, 1_001)]).toEqual([0, 100]);
    expect(waitMs(1_001, 2)).toBe(Number.POSITIVE_INFINITY);
    expect(flow.caution(1_001)?.kind).toBe('THROTTLED');
  });

  test('does not open its circuit for other answers, which say that the receiver is there', () => {
    const { meet, waitMs } = flowOf();
    for (let failures = 0; failures < 50; failures++) meet(failure(500), 0);
    expect(waitMs(0, 7)).toBe(0);
  });

  test.each([
    [429, '30', 30_000],
    [503, '2', 2_000],
    [503, new Date(10_000).toUTCString(), 10_000],
    [429, '86400', 60_000],
    [500, '30', 0],
    [503, 'soon', 0],
  ])('a %d with Retry-After: %s pauses all of it for %d ms', (status, header, pauseMs) => {
    const { flow, terms, meet, waitMs } = flowOf();
    meet(failure(status, [['retry-after', header]]), 0);
    expect([waitMs(0), flow.mostQueued(terms, 100, 0)]).toEqual([pauseMs, pauseMs > 0 ? 0 : 100]);
    expect(waitMs(pauseMs)).toBe(0);
  });

  test('shares its rate between the instances, and keeps only a little of a paced backlog in memory', () => {
    const { flow, terms, waitMs } = flowOf({ ratePerSecond: 10 }, 2);
    expect(flow.mostQueued(terms, 1_000, 0)).toBe(10);
    flow.begin(terms, 0);
    expect(waitMs(0)).toBe(200);
  });

  test('shares how many may be under way between the instances, and takes in nothing where none is its own', () => {
    const most = (overrides: Partial<LiveWebhook>) =>
      [0, 1, 2].map((place) => {
        const { flow, terms, waitMs } = flowOf(overrides, 3, place);
        const own = Array.from({ length: 10 }, (_, inFlight) => waitMs(0, inFlight)).indexOf(Number.POSITIVE_INFINITY);
        expect(flow.mostQueued(terms, 100, 0)).toBe(own === 0 ? 0 : 100);
        return own;
      });
    expect(most({ maxConcurrency: 8 }).sort()).toEqual([2, 3, 3]);
    expect(most({ maxConcurrency: 1 }).sort()).toEqual([0, 0, 1]);
    expect(most({ maxConcurrency: 8, ordering: Ordering.BY_KEY })).toEqual([8, 8, 8]); // all of it is one instance's
  });

  test('starts over with a webhook that was changed, but for its pace', () => {
    const { flow, terms, meet, waitMs } = flowOf({ ratePerSecond: 1 });
    for (let failures = 0; failures < 5; failures++) meet({ ...failure(0), outcome: 'TIMEOUT' }, failures * 1_000);
    expect(flow.heldMs(4_000)).toBe(1_000);
    flow.follow(2);
    expect([flow.heldMs(4_000), flow.caution(4_000), waitMs(4_000)]).toEqual([0, null, 1_000]);
    flow.end({ isProbe: false, sentAt: 0 }, failure(429, [['retry-after', '9']]), {
      terms,
      now: 4_000,
      endedAt: 0,
      random: 0,
    });
    expect(flow.heldMs(4_000)).toBe(0); // what an earlier version was answered
  });

  test('a probe that was never sent lets the next one through', () => {
    const { flow, terms, meet, waitMs } = flowOf();
    for (let failures = 0; failures < 5; failures++) meet(failure(502), 0);
    flow.abandon(flow.begin(terms, 1_000), 1_000);
    expect(waitMs(1_000)).toBe(0);
  });
});

describe('the window', () => {
  test('is never narrower than one, and wide again at the webhook’s own width', () => {
    const narrow = shrunk(WIDE, { sentAt: 0, now: 1, most: 1 });
    expect(narrow.limit).toBe(1);
    expect(grown(narrow, 1)).toBe(WIDE);
    expect(grown(grown(shrunk(WIDE, { sentAt: 0, now: 1, most: 3 }), 3), 3)).toMatchObject({ limit: 2, successes: 1 });
  });
});
