import type { MigrationInterface, QueryRunner } from 'typeorm';

/* Why a key was refused. An instance of the version before notes none. */
export class AddRefusalReasons1765300100000 implements MigrationInterface {
  readonly name = 'AddRefusalReasons1765300100000';

  async up(runner: QueryRunner): Promise<void> {
    const isMysql = runner.connection.options.type === 'mysql';
    await runner.query(`ALTER TABLE audit_events ADD COLUMN reason varchar(48)${isMysql ? ' CHARACTER SET ascii COLLATE ascii_bin' : ''}`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE audit_events DROP COLUMN reason');
  }
}
