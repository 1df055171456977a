import type { MigrationInterface, QueryRunner } from 'typeorm';

/*
 * The publisher's trace, for the attempts of an event. Null where none came, which costs nothing to store.
 *
 * Written as SQL: TypeORM's addColumn copies the whole table on SQLite, and this one may be large. A nullable column
 * behind the others changes no row on either database, and instances of the version before go on inserting.
 */
export class AddTraceContext1764700000000 implements MigrationInterface {
  readonly name = 'AddTraceContext1764700000000';

  async up(runner: QueryRunner): Promise<void> {
    const characters = runner.connection.options.type === 'mysql' ? ' CHARACTER SET ascii COLLATE ascii_bin' : '';
    const name = runner.connection.driver.escape('trace_context');
    await runner.query(`ALTER TABLE events ADD COLUMN ${name} varchar(568)${characters}`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE events DROP COLUMN trace_context');
  }
}
