import { type Dialect, driverCode } from './dialect';

/** Embedded, through `libsql`. One statement text whatever the number of values: it is prepared once and kept. */
export const sqliteDialect: Dialect = {
  forUpdate: '',
  skipLocked: '',
  now: "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
  supportsManyInstances: false,
  oneOf: (column, values) => ({ sql: `${column} IN (SELECT value FROM json_each(?))`, parameters: [JSON.stringify(values)] }),
  classify(error) {
    const code = driverCode(error);
    if (/^SQLITE_CONSTRAINT_(UNIQUE|PRIMARYKEY)/.test(code)) return 'duplicate';
    if (code.startsWith('SQLITE_BUSY')) return 'transient';
    if (/^SQLITE_(FULL|IOERR|CANTOPEN|READONLY|CORRUPT|NOTADB)/.test(code)) return 'unavailable';
    return 'other';
  },
};
