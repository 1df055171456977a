import { existsSync } from 'node:fs';
import { readConfig } from '../config';
import { createDatabase } from '../data-source';
import { createLog } from '../log';

/** Applies the migrations that are missing. Beside `serve` it alone makes a database where there is none, and says so. */
export async function migrate(): Promise<void> {
  const { databaseUrl, logLevel } = readConfig(process.env);
  const isNew = databaseUrl.kind === 'sqlite' && !existsSync(databaseUrl.path);
  const database = createDatabase(databaseUrl, createLog(logLevel));
  await database.open();
  try {
    const applied = await database.migrate();
    if (isNew) process.stdout.write(`made the database ${databaseUrl.path}\n`);
    process.stdout.write(
      applied.length > 0 ? `${applied.map((name) => `applied ${name}`).join('\n')}\n` : 'nothing to do: every migration is applied\n',
    );
  } finally {
    await database.close();
  }
}
