import type { QueryRunner, TableColumnOptions } from 'typeorm';

/** Builds columns of types that both databases have. Text compares byte by byte on both: `a` is not `A`. */
export function columnsFor(runner: QueryRunner) {
  const onMysql = runner.connection.options.type === 'mysql';
  const ascii = onMysql ? { charset: 'ascii', collation: 'ascii_bin' } : {};
  const unicode = onMysql ? { charset: 'utf8mb4', collation: 'utf8mb4_bin' } : {};
  return {
    /** Ids and fixed words: ASCII. */
    id: (name: string, options: Partial<TableColumnOptions> = {}): TableColumnOptions => ({
      name,
      type: 'varchar',
      length: '48',
      ...ascii,
      ...options,
    }),
    text: (name: string, length: number, options: Partial<TableColumnOptions> = {}): TableColumnOptions => ({
      name,
      type: 'varchar',
      length: String(length),
      ...unicode,
      ...options,
    }),
    /** Up to 16 MiB. */
    longText: (name: string, options: Partial<TableColumnOptions> = {}): TableColumnOptions => ({
      name,
      type: onMysql ? 'mediumtext' : 'text',
      ...unicode,
      ...options,
    }),
    /** A whole number of up to 53 bits, or milliseconds since the epoch. */
    number: (name: string, options: Partial<TableColumnOptions> = {}): TableColumnOptions => ({ name, type: 'bigint', ...options }),
    small: (name: string, options: Partial<TableColumnOptions> = {}): TableColumnOptions => ({ name, type: 'integer', ...options }),
  };
}

export const NULLABLE = { isNullable: true } as const;
export const PRIMARY = { isPrimary: true } as const;
