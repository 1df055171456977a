import { plain } from './output';

const GAP = '  ';
const MIN_WIDTH = 6;

/** Rows below each other, in the width of a terminal: the widest columns give way first. */
export function tableOf(rows: readonly Readonly<Record<string, unknown>>[], columns: readonly string[], width: number): string[] {
  const cells = [columns.map((name) => name.toUpperCase()), ...rows.map((row) => columns.map((name) => textOf(row[name])))];
  const widths = columns.map((_, index) => Math.max(...cells.map((line) => line[index]?.length ?? 0)));
  const total = () => widths.reduce((sum, each) => sum + each, 0) + GAP.length * (columns.length - 1);
  while (total() > width) {
    const widest = widths.indexOf(Math.max(...widths));
    if ((widths[widest] ?? 0) <= MIN_WIDTH) break;
    widths[widest] = Math.max(MIN_WIDTH, (widths[widest] ?? 0) - (total() - width), (widths[widest] ?? 0) >> 1);
  }
  return cells.map((line) =>
    line
      .map((text, index) => cut(text, widths[index] ?? 0).padEnd(widths[index] ?? 0))
      .join(GAP)
      .trimEnd(),
  );
}

function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, width - 1)}…`;
}

function textOf(value: unknown): string {
  if (value === null || value === undefined) return '';
  return plain(typeof value === 'string' ? value : Array.isArray(value) ? value.join(',') : JSON.stringify(value));
}
