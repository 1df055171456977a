import type { DatabaseKind } from './databases';
import { type Reach, reaches } from './figures';

/** CPU time of an event, in microseconds. */
export interface Spent {
  readonly hubMicroseconds: number;
  /** Null: the database is in the hub. */
  readonly databaseMicroseconds: number | null;
}

export interface Row {
  readonly scenario: string;
  readonly database: DatabaseKind;
  readonly unit: string;
  readonly figure: number;
  readonly before: number;
  readonly after: number;
  readonly reach: Reach;
  readonly isNoisy: boolean;
  readonly spent: Spent | null;
  readonly peakMegabytes: number;
  /** What voids it. */
  readonly problems: readonly string[];
}

export type Verdict = 'ok' | 'short' | 'void';

export interface JudgedRow extends Row {
  readonly ratio: number;
  readonly verdict: Verdict;
}

export function judged(row: Row): JudgedRow {
  const ratio = row.figure / ((row.before + row.after) / 2);
  return { ...row, ratio, verdict: row.problems.length > 0 ? 'void' : reaches(ratio, row.reach) ? 'ok' : 'short' };
}

const COLUMNS: readonly { readonly title: string; readonly width: number; readonly text: (row: JudgedRow) => string }[] = [
  { title: 'scenario', width: 17, text: ({ scenario }) => scenario },
  { title: 'database', width: 8, text: ({ database }) => database },
  { title: 'figure', width: 21, text: ({ figure, unit }) => `${shown(figure)} ${unit}` },
  { title: 'baseline', width: 16, text: ({ before, after }) => `${shown(before)} / ${shown(after)}` },
  { title: 'ratio', width: 6, text: ({ ratio }) => ratio.toFixed(2) },
  { title: 'reach', width: 6, text: ({ reach }) => ('atLeast' in reach ? `≥ ${reach.atLeast}` : `≤ ${reach.atMost}`) },
  { title: 'verdict', width: 11, text: ({ verdict, isNoisy }) => (isNoisy ? `${verdict} noisy` : verdict) },
  { title: 'hub µs', width: 7, text: ({ spent }) => (spent === null ? '–' : shown(spent.hubMicroseconds)) },
  { title: 'db µs', width: 6, text: ({ spent }) => (spent?.databaseMicroseconds ? shown(spent.databaseMicroseconds) : '–') },
  { title: 'hub MB', width: 6, text: ({ peakMegabytes }) => (peakMegabytes === 0 ? '–' : String(peakMegabytes)) },
];

function shown(value: number): string {
  if (Number.isNaN(value)) return '?';
  return value >= 100 ? Math.round(value).toLocaleString('en') : value.toFixed(1);
}

export function headLines(): string[] {
  return [line(COLUMNS.map(({ title }) => title)), COLUMNS.map(({ width }) => '-'.repeat(width + 2)).join('|')].map((text) => `|${text}|`);
}

/** The row, and below it what voids it. */
export function rowLines(row: JudgedRow): string[] {
  return [`|${line(COLUMNS.map(({ text }) => text(row)))}|`, ...row.problems.map((problem) => `    void: ${problem}`)];
}

function line(cells: readonly string[]): string {
  return cells.map((cell, index) => ` ${cell.padEnd(COLUMNS[index]?.width ?? 0)} `).join('|');
}
