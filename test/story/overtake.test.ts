import { holdLog } from '../support/hold-log';
import { createMysqlDatabase } from '../support/mariadb';
import { withRows } from '../support/rows';
import { withHub } from '../support/with-hub';

test('an application whose commit takes long holds up its own publishes, in their order, and nobody else’s', async () => {
  await withHub(createMysqlDatabase, async ({ application, receiver, databaseUrl }) => {
    const [slow, quick] = [await application('slow'), await application('quick')];
    await slow.webhook('/slow');
    await quick.webhook('/quick');
    await withRows(databaseUrl, async (_query, database) => {
      const lock = await holdLog(database, slow.id);
      let isHeld = true;
      const held = Promise.all([slow.publish(), slow.publish(), slow.publish()]).then((events) => {
        isHeld = false;
        return events;
      });
      const passed = [await quick.publish(), await quick.publish()];
      await receiver.waitFor(2, '/quick');
      expect(passed.map(({ sequence }) => sequence)).toEqual([1, 2]);
      expect(isHeld).toBe(true);
      await lock.release();
      expect((await held).map(({ sequence }) => sequence)).toEqual([1, 2, 3]);
      await receiver.waitFor(3, '/slow');
    });
  });
});
