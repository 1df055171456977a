import { type MigrationInterface, type QueryRunner, Table } from 'typeorm';
import { columnsFor, PRIMARY } from './columns';

/*
 * Of webhooks whose filter could not be tested within its budget: the latest event that they did not get for it. Beside
 * `webhook_health`, whose rows come and go with the attempts.
 */
export class AddFilterHealth1764800300000 implements MigrationInterface {
  readonly name = 'AddFilterHealth1764800300000';

  async up(runner: QueryRunner): Promise<void> {
    const { id, number } = columnsFor(runner);
    await runner.createTable(
      new Table({
        name: 'webhook_filter_health',
        columns: [id('webhook_id', PRIMARY), id('event_id'), id('event_type', { length: '255' }), number('created_at')],
        withoutRowid: true,
        engine: 'InnoDB',
      }),
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.dropTable('webhook_filter_health');
  }
}
