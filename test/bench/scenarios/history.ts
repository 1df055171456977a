import { withRig } from '../rig';
import type { Scenario } from '../scenario';
import { fill } from '../stored';
import { besideDrain } from './beside-drain';
import { drainEvents, startDrain } from './drain';

const WEBHOOKS = 4;

/** The drain after a long time: millions of finished deliveries lie in the tables. */
export const history: Scenario = {
  name: 'history',
  databases: ['mariadb'],
  run: (world, database) =>
    withRig(world, database, async (rig) => {
      const events = (world.isQuick ? 200_000 : 2_000_000) / WEBHOOKS;
      const [origin] = await rig.origins(1);
      // Of the webhooks that took part in the past, one takes part in the present.
      const pastUrls = Array.from({ length: WEBHOOKS - 1 }, (_, index) => `${origin}/past/${index}`);
      const past = await rig.application(pastUrls, { eventTypes: ['past.*'] });
      const present = { ...past, webhooks: [await rig.webhook(past, `${origin}/present`)] };
      await rig.stopHub();
      await fill(rig.database.url, {
        application: { ...past, webhooks: [...past.webhooks, ...present.webhooks] },
        events,
        state: 'finished',
      });
      await rig.startHub();
      const deliver = await startDrain(rig, present);
      const row = await besideDrain(world, database, {
        scenario: 'history',
        atLeast: 0.9,
        figure: async () => ({
          delivered: await deliver(drainEvents(world)),
          peakMegabytes: rig.peakMegabytes,
          problems: await rig.problems(present.webhooks, events),
        }),
      });
      return [row];
    }),
};
