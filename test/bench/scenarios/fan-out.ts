import { compare } from '../figures';
import { openLoop } from '../open-loop';
import { type BenchApplication, type Rig, withRig } from '../rig';
import type { Scenario } from '../scenario';
import { delays } from './latency';

const WEBHOOKS = 1_000;
const RECEIVERS = 50;
const NEIGHBOUR_PER_SECOND = 20;

/** Each event to a thousand webhooks, and what another application notices of it. */
export const fanOut: Scenario = {
  name: 'fan-out',
  databases: ['mariadb'],
  run: (world, database) =>
    withRig(world, database, async (rig) => {
      const events = world.isQuick ? 10 : 30;
      const quietEvents = world.isQuick ? 80 : 200;
      const origins = await rig.origins(RECEIVERS);
      const urls = Array.from({ length: WEBHOOKS }, (_, index) => `${origins[index % RECEIVERS]}/fan-out/${index}`);
      const crowd = await rig.application(urls);
      const neighbour = await prepareNeighbour(rig, `${origins[0]}/neighbour`);
      const publisher = rig.publisher(crowd, 1);
      const deliver = (count: number) => rig.deliver(crowd, () => publisher.publishEach(count));
      await deliver(3);
      await neighbour.publish({ count: 40 });
      const { before, figure, after, isNoisy } = await compare({
        baseline: async () => ({ perSecond: await rig.postBare(urls, events), quiet: await neighbour.publish({ count: quietEvents }) }),
        figure: async () => {
          const end = new AbortController();
          const disturbed = neighbour.publish({ count: 100_000, signal: end.signal });
          const delivered = await deliver(events);
          end.abort();
          return { ...delivered, neighbour: await disturbed };
        },
        level: ({ perSecond }) => perSecond,
      });
      const problems = await rig.problems([...crowd.webhooks, ...neighbour.application.webhooks]);
      const common = { database, isNoisy, peakMegabytes: rig.peakMegabytes, problems };
      return [
        {
          ...common,
          scenario: 'fan-out',
          unit: 'delivered/s',
          before: before.perSecond,
          figure: figure.perSecond,
          after: after.perSecond,
          reach: { atLeast: 0.4 },
          spent: figure.spent,
        },
        {
          ...common,
          scenario: 'fan-out neighbour',
          unit: 'ms p99',
          before: before.quiet,
          figure: figure.neighbour,
          after: after.quiet,
          reach: { atMost: 2 },
          spent: null,
        },
      ];
    }),
};

/** Another application that publishes at a leisurely pace; tells the 99th percentile of the time to its receiver. */
async function prepareNeighbour(rig: Rig, url: string) {
  const application: BenchApplication = await rig.application([url]);
  const publisher = rig.publisher(application, 16);
  const publish = async ({ count, signal }: { count: number; signal?: AbortSignal }): Promise<number> => {
    const due = new Map<string, number>();
    await openLoop({ count, perSecond: NEIGHBOUR_PER_SECOND, signal }, async (dueAt) => void due.set(await publisher.publishOne(), dueAt));
    rig.expect(application, [...due.keys()]);
    await rig.arrived();
    return (await delays(rig, new URL(url).pathname, due)).p99;
  };
  return { application, publish };
}
