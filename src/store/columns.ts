import { Column, type ColumnOptions } from 'typeorm';

/** Times are milliseconds since the epoch on both databases: one type, one order, no time zone. */
const asDate = {
  to: (date: Date | null | undefined) => date?.getTime() ?? date,
  from: (ms: number | string | null) => (ms === null ? null : new Date(Number(ms))),
};

const asNumber = {
  to: (value: number | null) => value,
  from: (value: number | string | null) => (value === null ? null : Number(value)),
};

export const TimeColumn = (name: string, options: ColumnOptions = {}) => Column({ name, type: 'bigint', transformer: asDate, ...options });

/** Whole numbers up to 53 bits; drivers hand `bigint` columns back as text. */
export const NumberColumn = (name: string, options: ColumnOptions = {}) =>
  Column({ name, type: 'bigint', transformer: asNumber, ...options });

export const TextColumn = (name: string, options: ColumnOptions = {}) => Column({ name, type: 'varchar', ...options });

export const LongTextColumn = (name: string, options: ColumnOptions = {}) => Column({ name, type: 'text', ...options });

/** JSON kept as text: MySQL's own JSON type would reorder the keys. */
export const JsonColumn = (name: string, options: ColumnOptions = {}) => Column({ name, type: 'simple-json', ...options });
