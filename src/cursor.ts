import { HubError, shown } from './errors';

/** Positions in an application's logs. */
export type LogName = 'event' | 'update' | 'webhook';

const LOG_WORDS = {
  event: 'event log',
  update: 'list of delivery updates',
  webhook: 'list of webhook updates',
} as const satisfies Record<LogName, string>;

/** Opaque to clients; says which log of which application, so that a cursor from elsewhere is refused and not misread. */
export function encodeCursor(log: LogName, applicationId: string, sequence: number): string {
  return Buffer.from(`${log}:${applicationId}:${sequence}`).toString('base64url');
}

/** The sequence in a cursor of that log and application; throws `BAD_USER_INPUT` for any other text. */
export function decodeCursor(log: LogName, applicationId: string, cursor: string): number {
  const [name, application, digits = ''] = Buffer.from(cursor, 'base64url').toString().split(':');
  const sequence = Number(digits);
  if (name !== log || !Number.isSafeInteger(sequence) || sequence < 0 || encodeCursor(log, application ?? '', sequence) !== cursor)
    throw new HubError('BAD_USER_INPUT', `after: expected a cursor of this ${LOG_WORDS[log]}, got ${shown(cursor)}`);
  if (application !== applicationId) throw new HubError('BAD_USER_INPUT', 'after: this cursor belongs to another application');
  return sequence;
}

/** A list's cursor is the last row's key. */
export function encodeKeyCursor(key: string): string {
  return Buffer.from(key).toString('base64url');
}

export function decodeKeyCursor(cursor: string, isKey: (key: string) => boolean): string {
  const key = Buffer.from(cursor, 'base64url').toString();
  if (!isKey(key) || encodeKeyCursor(key) !== cursor)
    throw new HubError('BAD_USER_INPUT', `after: expected a cursor of this list, got ${shown(cursor)}`);
  return key;
}
