import { readConfig } from '../config';
import { createLog } from '../log';
import { rekeySecrets } from '../webhooks/rekey';
import { SecretKey } from '../webhooks/secret-key';
import { withStoredDatabase } from './stored';

/** Encrypts every secret with the current key, so that former ones can be thrown away. */
export async function rekey(): Promise<void> {
  const config = readConfig(process.env);
  await withStoredDatabase(config, createLog(config.logLevel), async (database) => {
    const secretKey = new SecretKey(config);
    await secretKey.settle(database.read);
    const { changed, total } = await rekeySecrets(database, secretKey.seal);
    process.stdout.write(`${changed} of ${total} secrets encrypted again; former keys are no longer needed\n`);
  });
}
