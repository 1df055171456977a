import { type Mariadb, PORT_VARIABLE, startMariadb } from './mariadb';

/** What the set-up leaves for the tear-down; jest runs both in one process. */
export const run = globalThis as { livehookMariadb?: Mariadb };

/** One database server for the whole run; workers inherit the environment. */
export default async function globalSetup(): Promise<void> {
  run.livehookMariadb = await startMariadb();
  process.env[PORT_VARIABLE] = String(run.livehookMariadb.port);
}
