import { compare, percentile } from '../figures';
import { openLoop } from '../open-loop';
import { PAYLOAD_BYTES, type Rig, SECRET, withRig } from '../rig';
import type { Scenario } from '../scenario';

const PER_SECOND = 100;
const CONNECTIONS = 16;

/** From the moment at which a publish was due to the receiver's first byte, in a quiet hub. */
export const latency: Scenario = {
  name: 'latency',
  databases: ['mariadb'],
  run: (world, database) =>
    withRig(world, database, async (rig) => {
      const events = world.isQuick ? 400 : 1_000;
      const [origin] = await rig.origins(1);
      const application = await rig.application([`${origin}/latency`]);
      const publisher = rig.publisher(application, CONNECTIONS);
      const figure = async (count: number) => {
        const spentOver = rig.metering();
        const due = new Map<string, number>();
        await openLoop({ count, perSecond: PER_SECOND }, async (dueAt) => void due.set(await publisher.publishOne(), dueAt));
        rig.expect(application, [...due.keys()]);
        await rig.arrived();
        await rig.settled(application.webhooks);
        return { ...(await delays(rig, '/latency', due)), spent: spentOver(count) };
      };
      const baseline = async (count: number) => {
        const due = await rig.poster.ask('storeAndPost', {
          databaseUrl: rig.database.url,
          url: `${origin}/stored-and-posted`,
          events: count,
          perSecond: PER_SECOND,
          bytes: PAYLOAD_BYTES,
          secret: SECRET,
        });
        rig.ledger.expect('/stored-and-posted', [...due.keys()]);
        await rig.arrived();
        return delays(rig, '/stored-and-posted', due);
      };
      await figure(200);
      await baseline(200);
      const {
        before,
        figure: measured,
        after,
        isNoisy,
      } = await compare({
        baseline: () => baseline(events),
        figure: () => figure(events),
        level: ({ p50 }) => p50,
      });
      const { spent } = measured;
      const common = {
        database,
        unit: 'ms',
        isNoisy,
        spent,
        peakMegabytes: rig.peakMegabytes,
        problems: await rig.problems(application.webhooks),
      };
      return [
        { ...common, scenario: 'latency p50', before: before.p50, figure: measured.p50, after: after.p50, reach: { atMost: 3 } },
        { ...common, scenario: 'latency p99', before: before.p99, figure: measured.p99, after: after.p99, reach: { atMost: 6 } },
      ];
    }),
};

/** What passed between the due moments and the first bytes at the receiver of `path`; milliseconds. */
export async function delays(rig: Rig, path: string, due: ReadonlyMap<string, number>): Promise<{ p50: number; p99: number }> {
  const { firstBytes } = await rig.receivers.ask('received', undefined);
  const took = [...due].map(([id, dueAt]) => (firstBytes.get(path)?.get(id) ?? Number.POSITIVE_INFINITY) - dueAt);
  return { p50: percentile(took, 0.5), p99: percentile(took, 0.99) };
}
