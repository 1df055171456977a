import type { Database } from './database';

/** The last committed sequence of one of an application's logs; undefined when there is no such application. */
export async function readHead(
  { read }: Pick<Database, 'read'>,
  applicationId: string,
  log: 'event' | 'update' | 'webhook',
): Promise<number | undefined> {
  const column = log === 'webhook' ? 'webhook_sequence' : 'last_sequence';
  const [row] = await read.query<{ head: number }>(`SELECT ${column} AS head FROM counters WHERE application_id = ? AND log = ?`, [
    applicationId,
    log === 'webhook' ? 'event' : log,
  ]);
  return row && Number(row.head);
}
