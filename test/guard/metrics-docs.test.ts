import { Metrics, metricLines, type Reading } from '../../src/observe/metrics';
import { page, tableRows } from '../support/documentation';

const PAGE = 'src/observe/README.md';

const written = metricLines().map(({ name, type, labels }) => [labels.length > 0 ? `${name}{${labels.join(',')}}` : name, type]);

const nothing: Reading = {
  inFlight: 0,
  queued: 0,
  bytes: 0,
  waiting: 0,
  oldestDueSeconds: 0,
  isDatabaseUp: true,
  settleWaiting: 0,
  publishesPending: 0,
  webSockets: 0,
  eventStreams: 0,
  followers: 0,
  unsentBytes: 0,
  instances: 1,
  isLeaseHeld: true,
  leaseAgeSeconds: 0,
};

describe('The metrics', () => {
  test('are all in the table of the page on observability, with their types and labels, and nothing else is', () => {
    expect(tableRows(PAGE, '| metric | type |').map(([name, type]) => [name?.replaceAll('`', ''), type])).toEqual(written);
  });

  test('are all that /metrics names of the hub', async () => {
    const { content } = await new Metrics(async () => nothing).exposition();
    const types = [...content.matchAll(/^# TYPE (livehook_\w+) (\w+)$/gm)].map(([, name, type]) => [name, type]);
    const named = written.map(([name = '', type]) => [name.replace(/\{.*/, ''), type]);
    expect(types.sort()).toEqual(named.sort());
  });

  test('that it alerts on exist', () => {
    const known = new Set(written.map(([name = '']) => name.replace(/\{.*/, '')));
    const used = new Set([...page(PAGE).matchAll(/\blivehook_[a-z_]+/g)].map(([name]) => name.replace(/_(bucket|sum|count)$/, '')));
    expect(used.size).toBeGreaterThan(10);
    expect([...used].filter((name) => !known.has(name))).toEqual([]);
  });
});
