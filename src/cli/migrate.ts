import { readConfig } from '../config';
import { createDatabase } from '../data-source';
import { createLog } from '../log';

/** Applies the migrations that are missing. */
export async function migrate(): Promise<void> {
  const config = readConfig(process.env);
  const database = createDatabase(config.databaseUrl, createLog(config.logLevel));
  await database.open();
  try {
    const applied = await database.migrate();
    process.stdout.write(
      applied.length > 0 ? `${applied.map((name) => `applied ${name}`).join('\n')}\n` : 'nothing to do: every migration is applied\n',
    );
  } finally {
    await database.close();
  }
}
