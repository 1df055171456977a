import { type MigrationInterface, type QueryRunner, TableIndex } from 'typeorm';

/* The webhooks of an application are listed in the order in which they were made. */
export class IndexWebhooksByCreation1765300200000 implements MigrationInterface {
  readonly name = 'IndexWebhooksByCreation1765300200000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.createIndex(
      'webhooks',
      new TableIndex({ name: 'webhooks_by_creation', columnNames: ['application_id', 'created_at', 'id'] }),
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.dropIndex('webhooks', 'webhooks_by_creation');
  }
}
