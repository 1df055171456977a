import { type MigrationInterface, type QueryRunner, Table } from 'typeorm';
import { columnsFor, PRIMARY } from './columns';

/*
 * Deliveries that were cancelled while an instance had them in memory: it reads its rows, drops what waits and deletes
 * them. The index on the owners of ordered webhooks was never read.
 */
export class AddCancellations1764900000000 implements MigrationInterface {
  readonly name = 'AddCancellations1764900000000';

  async up(runner: QueryRunner): Promise<void> {
    const { id } = columnsFor(runner);
    await runner.createTable(
      new Table({
        name: 'cancellations',
        columns: [id('delivery_id', PRIMARY), id('owner')],
        indices: [{ name: 'cancellations_by_owner', columnNames: ['owner'] }],
        withoutRowid: true,
        engine: 'InnoDB',
      }),
    );
    const onTable = runner.connection.options.type === 'mysql' ? ' ON webhook_owners' : '';
    await runner.query(`DROP INDEX webhook_owners_by_owner${onTable}`);
  }

  async down(runner: QueryRunner): Promise<void> {
    const owner = runner.connection.driver.escape('owner');
    await runner.query(`CREATE INDEX webhook_owners_by_owner ON webhook_owners (${owner})`);
    await runner.dropTable('cancellations');
  }
}
