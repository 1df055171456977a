import type { Database } from './database';

/** The last committed sequence of one of an application's logs; undefined when there is no such application. */
export async function readHead(
  { read }: Pick<Database, 'read'>,
  applicationId: string,
  log: 'event' | 'update',
): Promise<number | undefined> {
  const [row] = await read.query<{ last_sequence: number }>('SELECT last_sequence FROM counters WHERE application_id = ? AND log = ?', [
    applicationId,
    log,
  ]);
  return row && Number(row.last_sequence);
}
