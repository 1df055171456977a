import { DataSource } from 'typeorm';
import { readConfig } from '../../src/config';
import { dataSourceOptions } from '../../src/data-source';
import { expectContract } from '../support/contract-file';
import { createSqliteDatabase, type MakeDatabase } from '../support/databases';
import { createMysqlDatabase } from '../support/mariadb';
import { testEnvironment } from '../support/with-hub';

/** TypeORM's own list of what has run. */
const BOOKKEEPING = 'migrations';

type Dump = (source: DataSource) => Promise<string>;

const NAMES = {
  mysql: 'SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name <> ? ORDER BY 1',
  sqlite: "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> ? AND name NOT LIKE 'sqlite_%' ORDER BY 1",
} as const;

async function tableNames(source: DataSource): Promise<string[]> {
  const rows = await source.query<{ name: string }[]>(NAMES[source.options.type === 'mysql' ? 'mysql' : 'sqlite'], [BOOKKEEPING]);
  return rows.map(({ name }) => name);
}

async function dumpMysql(source: DataSource): Promise<string> {
  const statements: string[] = [];
  for (const name of await tableNames(source)) {
    const [row] = await source.query<Record<'Create Table', string>[]>(`SHOW CREATE TABLE \`${name}\``);
    statements.push(`${withoutNoise(row?.['Create Table'] ?? '')};\n`);
  }
  return statements.join('\n');
}

/** What differs between servers and says nothing about the tables: display widths, counters, the database's own defaults. */
function withoutNoise(statement: string): string {
  return statement
    .replace(/\b(bigint|int|smallint|tinyint)\(\d+\)/g, '$1')
    .replace(/ AUTO_INCREMENT=\d+/, '')
    .replace(/ DEFAULT CHARSET=\w+( COLLATE=\w+)?$/, '');
}

async function dumpSqlite(source: DataSource): Promise<string> {
  const rows = await source.query<{ sql: string }[]>(
    "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND tbl_name <> ? AND name NOT LIKE 'sqlite_%' ORDER BY tbl_name, type DESC, name",
    [BOOKKEEPING],
  );
  return `${rows.map(({ sql }) => `${inLines(sql)};`).join('\n\n')}\n`;
}

/** A column a line, as a person would write it. */
function inLines(statement: string): string {
  if (!statement.startsWith('CREATE TABLE')) return statement.trim();
  const open = statement.indexOf('(');
  const close = statement.lastIndexOf(')');
  const parts = statement.slice(open + 1, close).split(/, (?![^(]*\))/);
  return `${statement.slice(0, open)}(\n  ${parts.join(',\n  ')}\n${statement.slice(close)}`;
}

const DATABASES: readonly (readonly [string, string, MakeDatabase, Dump])[] = [
  ['SQLite', 'tables.sqlite.sql', createSqliteDatabase, dumpSqlite],
  ['MySQL', 'tables.mysql.sql', createMysqlDatabase, dumpMysql],
];

describe.each(DATABASES)('The tables on %s', (_name, file, make, dump) => {
  test(`are those in schema/${file}, and again after every migration was undone`, async () => {
    const database = await make();
    const source = new DataSource(dataSourceOptions(readConfig(testEnvironment(database.url)).databaseUrl, 'writer'));
    try {
      await source.initialize();
      const done = await source.runMigrations({ transaction: 'each' });
      const tables = await dump(source);
      expectContract(file, tables);

      for (const _ of done) await source.undoLastMigration({ transaction: 'each' });
      expect((await dump(source)).trim()).toBe('');
      await source.runMigrations({ transaction: 'each' });
      expect(await dump(source)).toBe(tables);
      expect(await source.showMigrations()).toBe(false);
    } finally {
      await source.destroy();
      await database.drop();
    }
  });
});

test('Both databases have the same tables, columns and indices', async () => {
  const shapes = await Promise.all(
    DATABASES.map(async ([, , make]) => {
      const database = await make();
      const source = new DataSource(dataSourceOptions(readConfig(testEnvironment(database.url)).databaseUrl, 'writer'));
      try {
        return await shapeOf(source);
      } finally {
        await source.destroy();
        await database.drop();
      }
    }),
  );
  expect(shapes[0]?.length).toBeGreaterThan(5);
  expect(shapes[0]).toEqual(shapes[1]);
});

async function shapeOf(source: DataSource) {
  await source.initialize();
  await source.runMigrations({ transaction: 'each' });
  const runner = source.createQueryRunner();
  const tables = await runner.getTables(await tableNames(source));
  const shape = tables
    .map(({ name, columns, indices }) => ({
      name: name.split('.').at(-1),
      columns: columns.map((column) => `${column.name}${column.isNullable ? '?' : ''}${column.isPrimary ? ' key' : ''}`),
      indices: indices.map((index) => `${index.name}: ${index.columnNames.join(', ')}${index.isUnique ? ' unique' : ''}`).sort(),
    }))
    .sort((a, b) => String(a.name).localeCompare(String(b.name)));
  await runner.release();
  return shape;
}
