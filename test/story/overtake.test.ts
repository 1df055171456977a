import { createMysqlDatabase } from '../support/mariadb';
import { withRows } from '../support/rows';
import { withHub } from '../support/with-hub';

test('an application whose commit takes long holds up its own publishes, in their order, and nobody else’s', async () => {
  await withHub(createMysqlDatabase, async ({ application, receiver, databaseUrl }) => {
    const [slow, quick] = [await application('slow'), await application('quick')];
    await slow.webhook('/slow');
    await quick.webhook('/quick');
    let release = () => {};
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    await withRows(databaseUrl, async (_query, database) => {
      let holding: Promise<void> | undefined;
      await new Promise<void>((locked) => {
        holding = database.transaction(async (tx) => {
          await tx.query("SELECT last_sequence FROM counters WHERE application_id = ? AND log = 'event' FOR UPDATE", [slow.id]);
          locked();
          await released;
        });
      });
      let isHeld = true;
      const held = Promise.all([slow.publish(), slow.publish(), slow.publish()]).then((events) => {
        isHeld = false;
        return events;
      });
      const passed = [await quick.publish(), await quick.publish()];
      await receiver.waitFor(2, '/quick');
      expect(passed.map(({ sequence }) => sequence)).toEqual([1, 2]);
      expect(isHeld).toBe(true);
      release();
      await holding;
      expect((await held).map(({ sequence }) => sequence)).toEqual([1, 2, 3]);
      await receiver.waitFor(3, '/slow');
    });
  });
});
