import { type MigrationInterface, type QueryRunner, Table } from 'typeorm';
import { columnsFor, NULLABLE, PRIMARY } from './columns';

/*
 * Who did what. Ids begin with the application and go on with the time, so that a page of an application's list and what
 * retention removes are ranges of the primary key. No other index: each would cost every row that is written, and filters
 * read a bounded number of rows.
 *
 * Keys: nullable columns behind the others. An instance of the version before neither notes when a key was used nor
 * keeps to its networks.
 */
export class AddAuditAndKeyNetworks1764800800000 implements MigrationInterface {
  readonly name = 'AddAuditAndKeyNetworks1764800800000';

  async up(runner: QueryRunner): Promise<void> {
    const { id, text, longText, number } = columnsFor(runner);
    await runner.createTable(
      new Table({
        name: 'audit_events',
        columns: [
          id('id', PRIMARY),
          id('actor_id', NULLABLE),
          text('actor_partner', 255, NULLABLE),
          id('address', NULLABLE),
          id('action'),
          longText('target_ids'),
          number('count'),
          number('created_at'),
        ],
        engine: 'InnoDB',
      }),
    );
    const isMysql = runner.connection.options.type === 'mysql';
    await runner.query('ALTER TABLE api_keys ADD COLUMN last_used_at bigint');
    await runner.query(
      `ALTER TABLE api_keys ADD COLUMN allowed_networks ${isMysql ? 'mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin' : 'text'}`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE api_keys DROP COLUMN allowed_networks');
    await runner.query('ALTER TABLE api_keys DROP COLUMN last_used_at');
    await runner.dropTable('audit_events');
  }
}
