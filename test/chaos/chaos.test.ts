import { Build } from '../support/hub-process';
import { describeReport } from './print';
import { runChaos } from './run';

/** With every kind of fault; `npm run chaos` takes longer and chooses others. */
const SHORT = { seed: 7, seconds: 20, instances: 3, withRedis: true, drainMs: 90_000 };

let build: Build;

beforeAll(async () => {
  build = await Build.make();
});

afterAll(() => build.remove());

test('The ledger balances after hubs, database, Redis and receivers have failed in all their ways', async () => {
  const lines: string[] = [];
  const report = await runChaos({ ...SHORT, build, say: (line) => lines.push(line) });
  // What the run looked like is part of the message.
  if (report.balance.findings.length > 0) throw new Error([...lines, ...describeReport(report)].join('\n'));
  const { totals, repeats } = report.balance;
  expect(totals['publishes acknowledged']).toBeGreaterThan(100);
  expect(totals['hubs that ended']).toBeGreaterThanOrEqual(2);
  expect(new Set(report.facts.troubles.map(({ kind }) => kind)).size).toBe(10);
  expect([...repeats.keys()]).toEqual(expect.arrayContaining(['refused', 'lost', 'dropped', 'unanswered']));
}, 240_000);
