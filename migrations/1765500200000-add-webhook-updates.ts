import { type MigrationInterface, type QueryRunner, Table } from 'typeorm';
import { columnsFor, NULLABLE, PRIMARY } from './columns';

/*
 * What happened to webhooks, an application a log, numbered under the lock that changes of webhooks take anyway. The number
 * stands beside that of the last event, not in a row of its own: an instance of the version before expects two rows a
 * counter. What such an instance changes is not in the log.
 */
export class AddWebhookUpdates1765500200000 implements MigrationInterface {
  readonly name = 'AddWebhookUpdates1765500200000';

  async up(runner: QueryRunner): Promise<void> {
    const { id, number, longText } = columnsFor(runner);
    await runner.query('ALTER TABLE counters ADD COLUMN webhook_sequence bigint NOT NULL DEFAULT 0');
    await runner.createTable(
      new Table({
        name: 'webhook_updates',
        columns: [
          id('application_id', PRIMARY),
          number('sequence', PRIMARY),
          id('webhook_id'),
          id('kind'),
          id('health', NULLABLE),
          longText('reason', NULLABLE),
          number('health_sequence', NULLABLE),
          number('created_at'),
        ],
        indices: [{ name: 'webhook_updates_of_health', columnNames: ['webhook_id', 'health_sequence'] }],
        engine: 'InnoDB',
      }),
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.dropTable('webhook_updates');
    await runner.query('ALTER TABLE counters DROP COLUMN webhook_sequence');
  }
}
