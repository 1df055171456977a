import { type Dialect, driverCode } from './dialect';

const NOW = "CAST(unixepoch('subsec') * 1000 AS INTEGER)";

/** Embedded, through `libsql`. One statement text whatever the number of values: it is prepared once and kept. */
export const sqliteDialect: Dialect = {
  begin: 'BEGIN IMMEDIATE',
  forUpdate: '',
  forShare: '',
  insertIgnore: 'INSERT OR IGNORE',
  skipLocked: '',
  now: NOW,
  throughIndex: (name) => `INDEXED BY ${name}`,
  waitingWebhooks: (most) => `WITH RECURSIVE waiting (webhook_id, n) AS (
      SELECT MIN(webhook_id), 1 FROM deliveries WHERE owner = '' AND webhook_id > ?
      UNION ALL
      SELECT (SELECT MIN(d.webhook_id) FROM deliveries d WHERE d.owner = '' AND d.webhook_id > waiting.webhook_id), n + 1
        FROM waiting WHERE waiting.webhook_id IS NOT NULL AND n < ${most}
    )
    SELECT webhook_id, (SELECT MIN(d.due_at) FROM deliveries d WHERE d.owner = '' AND d.webhook_id = waiting.webhook_id) - ${NOW} AS due_in
      FROM waiting WHERE webhook_id IS NOT NULL`,
  byPrimaryKey: '',
  returning: {
    value: (expression) => expression,
    suffix: (column) => `RETURNING ${column} AS value`,
    read: (rows) => (rows as { value: number }[])[0]?.value,
  },
  literal: null,
  supportsManyInstances: false,
  oneOf: (column, values) => ({ sql: `${column} IN (SELECT value FROM json_each(?))`, parameters: [JSON.stringify(values)] }),
  classify(error) {
    const code = driverCode(error);
    if (/^SQLITE_CONSTRAINT_(UNIQUE|PRIMARYKEY)/.test(code)) return 'duplicate';
    if (code.startsWith('SQLITE_BUSY')) return 'transient';
    if (/^SQLITE_(FULL|IOERR|CANTOPEN|READONLY|CORRUPT|NOTADB)/.test(code)) return 'unavailable';
    if (code === 'SQLITE_TOOBIG') return 'too_large';
    return 'other';
  },
};
