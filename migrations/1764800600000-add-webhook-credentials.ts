import type { MigrationInterface, QueryRunner } from 'typeorm';

const COLUMNS = ['client_certificate', 'client_key', 'oauth', 'oauth_secret'];

/*
 * Client certificates and OAuth clients of webhooks; what is secret in them is sealed. Nullable columns behind the
 * others change no row, and instances of the version before go on inserting. Written as SQL for the reason that
 * `add-trace-context` gives.
 */
export class AddWebhookCredentials1764800600000 implements MigrationInterface {
  readonly name = 'AddWebhookCredentials1764800600000';

  async up(runner: QueryRunner): Promise<void> {
    const type = runner.connection.options.type === 'mysql' ? 'mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin' : 'text';
    for (const column of COLUMNS) await runner.query(`ALTER TABLE webhooks ADD COLUMN ${runner.connection.driver.escape(column)} ${type}`);
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const column of COLUMNS) await runner.query(`ALTER TABLE webhooks DROP COLUMN ${column}`);
  }
}
