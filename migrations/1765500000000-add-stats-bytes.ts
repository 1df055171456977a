import { type MigrationInterface, type QueryRunner } from 'typeorm';

/*
 * Bytes of request bodies beside the attempts. An instance of the version before leaves them out: its attempts count for
 * none. Rows that sum up an application stand in the same table, by the application's id.
 */
export class AddStatsBytes1765500000000 implements MigrationInterface {
  readonly name = 'AddStatsBytes1765500000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE webhook_stats ADD COLUMN bytes bigint NOT NULL DEFAULT 0');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE webhook_stats DROP COLUMN bytes');
  }
}
