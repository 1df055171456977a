import type { MigrationInterface, QueryRunner } from 'typeorm';

/*
 * Attempts by hand, which use up no place in the retry schedule: how many of a delivery's were, and when its next automatic
 * one is due while one by hand goes before it. An instance of the version before counts them as it always did.
 */
export class AddManualAttempts1765300000000 implements MigrationInterface {
  readonly name = 'AddManualAttempts1765300000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE deliveries ADD COLUMN manual_attempts integer NOT NULL DEFAULT 0');
    await runner.query('ALTER TABLE deliveries ADD COLUMN automatic_due_at bigint');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE deliveries DROP COLUMN automatic_due_at');
    await runner.query('ALTER TABLE deliveries DROP COLUMN manual_attempts');
  }
}
