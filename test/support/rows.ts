import { readConfig } from '../../src/config';
import { createDatabase } from '../../src/data-source';
import { silentLog } from '../../src/log';
import type { Database } from '../../src/store/database';
import { testEnvironment } from './with-hub';

/** Looks into a test's database beside the hub. */
export async function withRows<T>(
  databaseUrl: string,
  work: (query: <Row>(sql: string, parameters?: readonly unknown[]) => Promise<Row[]>, database: Database) => Promise<T>,
): Promise<T> {
  const database = createDatabase(readConfig(testEnvironment(databaseUrl)).databaseUrl, silentLog);
  await database.open();
  try {
    return await work((sql, parameters) => database.read.query(sql, parameters), database);
  } finally {
    await database.close();
  }
}

const TABLES = [
  'applications',
  'counters',
  'api_keys',
  'webhooks',
  'events',
  'deliveries',
  'attempts',
  'delivery_updates',
  'bodies',
  'retry_jobs',
  'retry_job_items',
  'instances',
] as const;

/** Every row of every table as JSON, to search for what must not be there. */
export async function dumpOf(databaseUrl: string): Promise<string> {
  return withRows(databaseUrl, async (query) => {
    const tables = await Promise.all(TABLES.map((table) => query(`SELECT * FROM ${table}`)));
    return JSON.stringify(tables);
  });
}

/** How many rows each table has, but for those that beat by themselves. */
export async function rowCounts(databaseUrl: string): Promise<Record<string, number>> {
  return withRows(databaseUrl, async (query) => {
    const counts: Record<string, number> = {};
    for (const table of TABLES)
      if (table !== 'instances') counts[table] = Number((await query<{ n: number }>(`SELECT COUNT(*) AS n FROM ${table}`))[0]?.n);
    return counts;
  });
}

/** How many rows each table of the schema has, whatever tables there are, but for those that are no application's. */
export async function everyRowCount(databaseUrl: string): Promise<Record<string, number>> {
  return withRows(databaseUrl, async (query, { dialect }) => {
    const tables = await query<{ name: string }>(
      dialect.supportsManyInstances
        ? 'SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY table_name'
        : "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name",
    );
    const counts: Record<string, number> = {};
    for (const { name } of tables)
      if (name !== 'instances' && name !== 'migrations')
        counts[name] = Number((await query<{ n: number }>(`SELECT COUNT(*) AS n FROM ${name}`))[0]?.n);
    return counts;
  });
}

/** Changes a test's database beside the hub. */
export async function changeRows(databaseUrl: string, sql: string, parameters: readonly unknown[] = []): Promise<void> {
  await withRows(databaseUrl, async (_query, database) => {
    await database.transaction((tx) => tx.execute(sql, parameters));
  });
}
