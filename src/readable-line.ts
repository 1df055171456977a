import { styleText } from 'node:util';

type Style = Parameters<typeof styleText>[0];

/** Of pino's levels. */
const LEVELS: Readonly<Record<number, readonly [name: string, style: Style]>> = {
  20: ['DEBUG', 'dim'],
  30: ['INFO', 'green'],
  40: ['WARN', 'yellow'],
  50: ['ERROR', 'red'],
};

/** Needs no quotes to be told from what stands around it. */
const PLAIN = /^[\w.:/@+%-]+$/;
/** Would move the cursor, or worse: names and errors in the log may be a stranger's. */
const CONTROLS = /[\u007f-\u009f\u2028\u2029]/g;
const CONTROLS_BUT_BREAKS = /(?!\n)\p{Cc}/gu;

/**
 * A JSON line of the log as people read it on a terminal: `21:04:05.123 INFO  events.committed  events=2 ms=1.4`.
 * `pino-pretty` does the same with twelve packages of its own. Colours go by NO_COLOR and the terminal, as Node judges them.
 */
export function readableLine(line: string): string {
  const { level, time, pid: _, event, ...facts } = JSON.parse(line) as Record<string, unknown>;
  const [name, style] = LEVELS[Number(level)] ?? [String(level), 'green'];
  const stacks: string[] = [];
  const shown = Object.entries(facts).map(([key, value]) => {
    if (typeof value !== 'string' || !value.includes('\n')) return `${styled('dim', `${key}=`)}${valueText(value)}`;
    const [first = '', ...rest] = value.replace(CONTROLS_BUT_BREAKS, '').split('\n');
    stacks.push(...rest);
    return `${styled('dim', `${key}=`)}${valueText(first)}`;
  });
  const head = `${styled('dim', clockTime(time))} ${styled(style, name.padEnd(5))} ${styled('bold', String(event))}`;
  return `${[`${head}  ${shown.join(' ')}`.trimEnd(), ...stacks.map((part) => `    ${part.trim()}`)].join('\n')}\n`;
}

function valueText(value: unknown): string {
  if (typeof value === 'string' && PLAIN.test(value)) return value;
  return JSON.stringify(value).replace(CONTROLS, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** In the time zone of whoever looks. */
function clockTime(time: unknown): string {
  const at = new Date(String(time));
  const [hours, minutes, seconds] = [at.getHours(), at.getMinutes(), at.getSeconds()].map((part) => String(part).padStart(2, '0'));
  return `${hours}:${minutes}:${seconds}.${String(at.getMilliseconds()).padStart(3, '0')}`;
}

function styled(style: Style, text: string): string {
  return styleText(style, text, { stream: process.stderr });
}
