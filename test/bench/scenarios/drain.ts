import type { DatabaseKind } from '../databases';
import { compare } from '../figures';
import { type BenchApplication, type Delivered, type Rig, type World, withRig } from '../rig';
import type { Scenario } from '../scenario';
import type { Row } from '../table';

const CONNECTIONS = 4;
const BATCH = 100;
const REACH = { mariadb: 0.4, sqlite: 0.45 };

/** Batches published as fast as the hub takes them, delivered to one webhook. */
export const drain: Scenario = {
  name: 'drain',
  databases: ['mariadb', 'sqlite'],
  run: (world, database) =>
    withRig(world, database, async (rig) => {
      const events = drainEvents(world);
      const posts = world.isQuick ? 30_000 : 60_000; // so that either takes a few seconds
      const { url, deliver, webhooks } = await prepareDrain(rig);
      const compared = await compare({
        baseline: () => rig.postBare([url], posts),
        figure: () => deliver(events),
        level: (perSecond) => perSecond,
      });
      return [
        {
          scenario: 'drain',
          database,
          unit: 'delivered/s',
          ...compared,
          figure: compared.figure.perSecond,
          reach: { atLeast: REACH[database] },
          spent: compared.figure.spent,
          peakMegabytes: rig.peakMegabytes,
          problems: await rig.problems(webhooks),
        } satisfies Row,
      ];
    }),
};

async function prepareDrain(rig: Rig) {
  const [origin] = await rig.origins(1);
  const url = `${origin}/drain`;
  const application = await rig.application([url]);
  return { url, webhooks: application.webhooks, deliver: await startDrain(rig, application) };
}

/** Publishes in batches, to a hub that has delivered enough to be compiled. */
export async function startDrain(rig: Rig, application: BenchApplication): Promise<(events: number) => Promise<Delivered>> {
  const publisher = rig.publisher(application, CONNECTIONS);
  const deliver = (events: number) => rig.deliver(application, () => publisher.publishMany(events, BATCH));
  await deliver(rig.world.isQuick ? 3_000 : 6_000);
  return deliver;
}

/** The drain as a baseline: a hub of its own with empty tables, and nothing else to do. */
export async function drainAlone(world: World, database: DatabaseKind): Promise<{ perSecond: number; problems: string[] }> {
  return withRig(world, database, async (rig) => {
    const { webhooks, deliver } = await prepareDrain(rig);
    const { perSecond } = await deliver(drainEvents(world));
    return { perSecond, problems: await rig.problems(webhooks) };
  });
}

export function drainEvents({ isQuick }: World): number {
  return isQuick ? 8_000 : 20_000;
}
