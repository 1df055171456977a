import { monotonicMs } from '../monotonic';
import { withRig } from '../rig';
import type { Scenario } from '../scenario';
import { fill } from '../stored';
import { besideDrain, type Measured } from './beside-drain';

const MAX_MEGABYTES = 300;

/** A hub starts where much waits in the database. */
export const backlog: Scenario = {
  name: 'backlog',
  databases: ['mariadb'],
  async run(world, database) {
    const waiting = world.isQuick ? 20_000 : 200_000;
    const figure = (): Promise<Measured> =>
      withRig(world, database, async (rig) => {
        const [origin] = await rig.origins(1);
        const application = await rig.application([`${origin}/backlog`]);
        await rig.stopHub();
        const ids = await fill(rig.database.url, { application, events: waiting, state: 'waiting' });
        const delivered = await rig.deliver(application, async () => {
          await rig.startHub();
          const startedAt = monotonicMs();
          return { startedAt, endedAt: startedAt, ids };
        });
        return { delivered, peakMegabytes: rig.peakMegabytes, problems: await rig.problems(application.webhooks) };
      });
    const row = await besideDrain(world, database, { scenario: 'backlog', atLeast: 0.8, figure });
    const { peakMegabytes, problems } = row;
    const limit = { before: MAX_MEGABYTES, after: MAX_MEGABYTES, reach: { atMost: 1 }, isNoisy: false };
    return [
      row,
      { scenario: 'backlog memory', database, unit: 'MB', figure: peakMegabytes, ...limit, spent: null, peakMegabytes, problems },
    ];
  },
};
