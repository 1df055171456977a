/** Where the demo prints: a terminal, or anything that takes text. */
export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
  /** A terminal says no when NO_COLOR is set. */
  hasColors?(): boolean;
}

export interface Progress {
  readonly done: number;
  readonly all: number;
  readonly label: string;
}

const STYLES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const;
export type Style = keyof typeof STYLES;

const CLEAR_LINE = '\r\x1b[2K';
const BAR_CHARS = 28;
const DEFAULT_COLUMNS = 80;

/** Lines that scroll and, on a terminal, one that stays below them. */
export class Screen {
  readonly #out: Output;
  readonly #hasColors: boolean;
  #below = '';
  #quarters = 0;
  #isProgressOver = false;

  constructor(out: Output) {
    this.#out = out;
    this.#hasColors = out.isTTY === true && out.hasColors?.() === true;
  }

  get isTerminal(): boolean {
    return this.#out.isTTY === true;
  }

  styled(style: Style, text: string): string {
    return this.#hasColors ? `\x1b[${STYLES[style]}m${text}\x1b[0m` : text;
  }

  line(text = ''): void {
    this.lines([text]);
  }

  /** One write, however many lines: a terminal draws them at once. */
  lines(texts: readonly string[]): void {
    const text = `${texts.join('\n')}\n`;
    this.#out.write(this.#below === '' ? text : `${CLEAR_LINE}${text}${this.#below}`);
  }

  /** What stays below the lines from now on; nothing: the line is free again. Without a terminal there is none. */
  below(text: string): void {
    if (!this.isTerminal || text === this.#below) return;
    this.#out.write(`${this.#below === '' ? '' : CLEAR_LINE}${text}`);
    this.#below = text;
  }

  /** A bar that stays below the lines; without a terminal, one more line at every quarter. */
  progress({ done, all, label }: Progress): void {
    if (this.#isProgressOver) return;
    const share = all === 0 ? 0 : Math.min(1, done / all);
    if (this.isTerminal) this.below(this.#bar(share, label));
    else this.#atEveryQuarter(share, label);
  }

  /** Takes the bar away for good. */
  endProgress(): void {
    this.#isProgressOver = true;
    this.below('');
  }

  #atEveryQuarter(share: number, label: string): void {
    const quarters = Math.floor(share * 4);
    if (quarters <= this.#quarters) return;
    this.#quarters = quarters;
    this.line(this.#bar(share, label));
  }

  #bar(share: number, label: string): string {
    const filled = Math.round(share * BAR_CHARS);
    const bar = this.styled('green', '█'.repeat(filled)) + this.styled('dim', '░'.repeat(BAR_CHARS - filled));
    const percent = `${Math.floor(share * 100)}%`.padStart(4);
    const room = this.isTerminal ? (this.#out.columns || DEFAULT_COLUMNS) - BAR_CHARS - 10 : Number.POSITIVE_INFINITY;
    return `  ${bar} ${percent}  ${cut(label, Math.max(0, room))}`;
  }
}

/** At most so many characters. */
export function cut(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, Math.max(0, most - 1))}…`;
}
