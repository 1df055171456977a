import { type Rig, withRig } from '../rig';
import type { Scenario } from '../scenario';
import { besideDrain, type Measured } from './beside-drain';
import { drainEvents, startDrain } from './drain';

const HANGING_WEBHOOKS = 50;
const HANGING_RECEIVERS = 10;
/** Each waits for each of the hanging webhooks. */
const STUCK_EVENTS = 100;

/** The drain of one webhook while fifty others of its application take requests and never answer. */
export const slowNeighbours: Scenario = {
  name: 'slow-neighbours',
  databases: ['mariadb'],
  async run(world, database) {
    const figure = (): Promise<Measured> =>
      withRig(world, database, async (rig) => {
        const [origin] = await rig.origins(1);
        const application = await rig.application([`${origin}/quick`], { eventTypes: ['order.*'] });
        const deliver = await startDrain(rig, application);
        await stick(rig, application.key);
        const delivered = await deliver(drainEvents(world));
        return { delivered, peakMegabytes: rig.peakMegabytes, problems: await rig.problems(application.webhooks) };
      });
    return [await besideDrain(world, database, { scenario: 'slow-neighbours', atLeast: 0.8, figure })];
  },
};

/** Has the hub send as much as it may to receivers that hang, with more waiting behind. */
async function stick(rig: Rig, key: string): Promise<void> {
  const origins = await rig.hangingOrigins(HANGING_RECEIVERS);
  for (let index = 0; index < HANGING_WEBHOOKS; index++)
    await rig.webhook({ key }, `${origins[index % HANGING_RECEIVERS]}/hanging/${index}`, {
      eventTypes: ['slow.*'],
      maxConcurrency: 10, // the default
    });
  await rig.hub.ask(
    'mutation ($events: [EventPublishInput!]!) { eventsPublish(input: { events: $events }) { results { userErrors { message } } userErrors { message } } }',
    { events: Array.from({ length: STUCK_EVENTS }, (_, no) => ({ type: 'slow.created', payload: { no } })) },
    key,
  );
}
