import { type MigrationInterface, type QueryRunner, Table } from 'typeorm';
import { columnsFor, PRIMARY } from './columns';

/*
 * Types that events had, registered or not, and when each came last; examples beside the schemas of registered ones; who
 * asked for a retry job. Nullable columns behind the others: an instance of the version before leaves them alone.
 */
export class AddSeenEventTypes1765500100000 implements MigrationInterface {
  readonly name = 'AddSeenEventTypes1765500100000';

  async up(runner: QueryRunner): Promise<void> {
    const { id, number } = columnsFor(runner);
    await runner.createTable(
      new Table({
        name: 'seen_event_types',
        columns: [
          id('application_id', PRIMARY),
          id('name', { ...PRIMARY, length: '255' }),
          number('first_seen_at'),
          number('last_seen_at'),
        ],
        withoutRowid: true,
        engine: 'InnoDB',
      }),
    );
    const isMysql = runner.connection.options.type === 'mysql';
    await runner.query(
      `ALTER TABLE event_types ADD COLUMN examples ${isMysql ? 'mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin' : 'text'}`,
    );
    await runner.query(`ALTER TABLE retry_jobs ADD COLUMN author_id varchar(48)${isMysql ? ' CHARACTER SET ascii COLLATE ascii_bin' : ''}`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE retry_jobs DROP COLUMN author_id');
    await runner.query('ALTER TABLE event_types DROP COLUMN examples');
    await runner.dropTable('seen_event_types');
  }
}
