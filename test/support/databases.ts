import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createMysqlDatabase, type TestDatabase } from './mariadb';

export type MakeDatabase = () => Promise<TestDatabase>;

/** A fresh SQLite file in a folder of its own, which `drop` removes with all that the hub put beside it. */
export async function createSqliteDatabase(): Promise<TestDatabase> {
  const folder = await mkdtemp(join(tmpdir(), 'livehook-sqlite-'));
  return { url: `sqlite:${join(folder, 'livehook.db')}`, drop: () => rm(folder, { recursive: true, force: true }) };
}

const DATABASES = { SQLite: createSqliteDatabase, MariaDB: createMysqlDatabase } satisfies Record<string, MakeDatabase>;

/** Runs the tests of `body` once per database. What a test leaves behind is dropped at the end. */
export function describeEachDatabase(title: string, body: (makeDatabase: MakeDatabase) => void): void {
  for (const [name, make] of Object.entries(DATABASES)) {
    describe(`${title} on ${name}`, () => {
      const made: TestDatabase[] = [];
      afterAll(() => Promise.all(made.map((database) => database.drop())));
      body(async () => {
        const database = await make();
        made.push(database);
        return database;
      });
    });
  }
}
