import { readConfig } from '../config';
import { createLog } from '../log';
import { Database } from '../store/database';
import { rekeySecrets } from '../webhooks/rekey';
import { sealFor } from '../webhooks/secret-key';

/** Encrypts every secret with the current key, so that former ones can be thrown away. */
export async function rekey(): Promise<void> {
  const config = readConfig(process.env);
  const database = new Database(config.databaseUrl, createLog(config.logLevel));
  await database.open();
  try {
    await database.migrate();
    const { changed, total } = await rekeySecrets(database, sealFor(config));
    process.stdout.write(`${changed} of ${total} secrets encrypted anew; former keys are no longer needed\n`);
  } finally {
    await database.close();
  }
}
