import { compare } from '../figures';
import { Helper } from '../helper';
import type { Edge } from '../processes/edge';
import { Publisher } from '../publisher';
import { type Rig, withRig } from '../rig';
import type { Scenario } from '../scenario';
import type { Row } from '../table';

const CONNECTIONS = 64;

/** One event a mutation, from many publishers, delivered to one webhook. */
export const single: Scenario = {
  name: 'single',
  databases: ['mariadb', 'sqlite'],
  run: (world, database) =>
    withRig(world, database, async (rig) => {
      const events = world.isQuick ? 4_000 : 10_000;
      const [origin] = await rig.origins(1);
      const application = await rig.application([`${origin}/single`]);
      const publisher = rig.publisher(application, CONNECTIONS);
      const deliver = (count: number) => rig.deliver(application, () => publisher.publishEach(count));
      const bare = await startEdge(rig);
      await deliver(events / 2);
      await bare(events / 2);
      const compared = await compare({ baseline: () => bare(events), figure: () => deliver(events), level: (perSecond) => perSecond });
      return [
        {
          scenario: 'single',
          database,
          unit: 'delivered/s',
          ...compared,
          figure: compared.figure.perSecond,
          reach: { atLeast: 0.6 },
          spent: compared.figure.spent,
          peakMegabytes: rig.peakMegabytes,
          problems: await rig.problems(application.webhooks),
        } satisfies Row,
      ];
    }),
};

/** The same mutation, answered by the hub's own edge without storing anything; answers a second. */
async function startEdge(rig: Rig): Promise<(events: number) => Promise<number>> {
  const edge = rig.also(new Helper<Edge>('edge'), (helper) => helper.end());
  const { url, key } = await edge.ask('start', undefined);
  const publisher = rig.also(new Publisher({ url, key, connections: CONNECTIONS }), (one) => one.close());
  return async (events) => {
    const { startedAt, endedAt } = await publisher.publishEach(events);
    return (events * 1e3) / (endedAt - startedAt);
  };
}
