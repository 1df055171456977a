import { type Balance, type Column, type Plan, percentile } from './balance';
import { cut, type Screen, type Style } from './screen';

/** What `deliveryUpdates` tells of one attempt. */
export interface Update {
  readonly status: string;
  readonly at: string;
  readonly attempt: {
    readonly number: number;
    readonly outcome: string;
    readonly statusCode: number | null;
    readonly durationMs: number;
  } | null;
  readonly delivery: {
    readonly nextAttemptAt: string | null;
    readonly event: { readonly id: string; readonly sequence: number; readonly type: string };
    readonly webhook: { readonly id: string };
  };
}

const WIDTH = { sequence: 5, type: 31, webhook: 8, attempt: 5, outcome: 19, ms: 5 } as const;
const MARGIN = '  ';
const STEP_CHARS = 14;

export function showTitle(screen: Screen, payloads: number): void {
  screen.lines([
    '',
    MARGIN + screen.styled('bold', 'Livehook: the main job, on real input'),
    '',
    `${MARGIN}${payloads} real GitHub webhook payloads are published by GraphQL mutations, delivered`,
    `${MARGIN}as signed HTTP requests to three webhooks, and watched over a live subscription.`,
    '',
  ]);
}

/** Something that is in place now. */
export function showStep(screen: Screen, name: string, what: string): void {
  screen.line(`${MARGIN}${screen.styled('green', '✓')} ${screen.styled('bold', name.padEnd(STEP_CHARS))}${what}`);
}

export function showWebhook(screen: Screen, { name, what }: Plan): void {
  screen.line(`${MARGIN}  ${''.padEnd(STEP_CHARS)}${screen.styled('cyan', name.padEnd(9))}${what}`);
}

export function showUpdateHeadings(screen: Screen): void {
  const headings = row(['seq', 'event', 'webhook', 'try', 'outcome', 'ms']);
  screen.lines(['', screen.styled('dim', headings)]);
}

export function updateLine(screen: Screen, update: Update, webhook: string): string {
  const { attempt, delivery } = update;
  const { text, style } = outcomeOf(update);
  const cells = row([
    String(delivery.event.sequence),
    delivery.event.type,
    webhook,
    String(attempt?.number ?? ''),
    text,
    String(attempt?.durationMs ?? ''),
  ]);
  return style ? screen.styled(style, cells) : cells;
}

function outcomeOf({ status, at, attempt, delivery }: Update): { text: string; style?: Style } {
  const what = String(attempt?.statusCode ?? attempt?.outcome.toLowerCase() ?? '');
  switch (status) {
    case 'SUCCEEDED':
      return attempt && attempt.number > 1 ? { text: `${what} delivered`, style: 'green' } : { text: `${what} delivered` };
    case 'RETRYING': {
      const waitMs = Date.parse(delivery.nextAttemptAt ?? at) - Date.parse(at);
      return { text: `${what} retry in ${(waitMs / 1_000).toFixed(1)} s`, style: 'yellow' };
    }
    default:
      return { text: `${what} ${status.toLowerCase()}`, style: 'red' };
  }
}

function row([sequence = '', type = '', webhook = '', attempt = '', outcome = '', ms = '']: readonly string[]): string {
  return (
    sequence.padStart(WIDTH.sequence) +
    MARGIN +
    cut(type, WIDTH.type).padEnd(WIDTH.type + 1) +
    cut(webhook, WIDTH.webhook).padEnd(WIDTH.webhook) +
    attempt.padStart(WIDTH.attempt - 1) +
    MARGIN +
    cut(outcome, WIDTH.outcome).padEnd(WIDTH.outcome) +
    ms.padStart(WIDTH.ms)
  );
}

const LABEL_CHARS = 34;
const COLUMN_CHARS = 10;

/** The closing table, and whether it balances. */
export function showBalance(screen: Screen, { published, columns, total, problems }: Balance, seconds: number): void {
  const all = [...columns, total];
  const rule = MARGIN + screen.styled('dim', '─'.repeat(LABEL_CHARS + all.length * COLUMN_CHARS));
  const line = (label: string, cell: (column: Column) => string) =>
    MARGIN + label.padEnd(LABEL_CHARS) + all.map((column) => cell(column).padStart(COLUMN_CHARS)).join('');
  screen.lines([
    '',
    screen.styled(
      'bold',
      line('', ({ name }) => name),
    ),
    rule,
    line('events published', ({ name }) => (name === total.name ? String(published) : '')),
    line('deliveries wanted', ({ wanted }) => String(wanted)),
    line('delivered', ({ delivered }) => String(delivered)),
    line('seen to succeed, live', ({ seen }) => String(seen)),
    line('retried', ({ retried }) => String(retried)),
    line('requests received', ({ requests }) => String(requests)),
    line('signatures verified', ({ verified }) => String(verified)),
    line('data byte-equal to the payload', ({ byteEqual }) => String(byteEqual)),
    line('p50, publish to receipt', ({ latenciesMs }) => milliseconds(percentile(latenciesMs, 50))),
    line('p99, publish to receipt', ({ latenciesMs }) => milliseconds(percentile(latenciesMs, 99))),
    rule,
    ...CAPTION.map((text) => MARGIN + screen.styled('dim', text)),
    '',
    ...verdict(screen, problems, total, seconds),
  ]);
}

const CAPTION = [
  'Signatures are checked by the receiver with the standardwebhooks library. Retried',
  'counts attempts after the first. Publish to receipt runs from just before the',
  'mutation is sent until the receiver has all of the first verified request.',
];

function milliseconds(value: number | undefined): string {
  return value === undefined ? '–' : `${value.toFixed(1)} ms`;
}

function verdict(screen: Screen, problems: readonly string[], { delivered, requests }: Column, seconds: number): string[] {
  if (problems.length === 0)
    return [
      MARGIN + screen.styled('green', '✓ It balances.'),
      `${MARGIN}  Every event reached every webhook that wants it, once: ${delivered} deliveries in ${seconds.toFixed(1)} s.`,
      `${MARGIN}  All ${requests} signatures verified, all ${requests} payloads byte-equal, every success seen live.`,
      '',
    ];
  return [
    MARGIN + screen.styled('red', '✗ It does not balance. What is missing:'),
    ...problems.map((problem) => `${MARGIN}  ${screen.styled('red', '–')} ${problem}`),
    '',
  ];
}

export function showEnd(screen: Screen, what: string): void {
  screen.lines(['', MARGIN + what, '']);
}

export function showServing(screen: Screen, url: string, key: string): void {
  const item = (name: string, what: string) => `${MARGIN}  ${name.padEnd(11)}${what}`;
  screen.lines([
    `${MARGIN}${screen.styled('bold', 'It goes on serving:')}`,
    '',
    item('Dashboard', screen.styled('cyan', `${url}/`)),
    item('GraphiQL', screen.styled('cyan', `${url}/graphql`)),
    item('Key', `${screen.styled('yellow', key)}   to paste there`),
    item('Stop', 'Ctrl-C; the database is removed with it'),
    '',
    `${MARGIN}Publish one yourself in GraphiQL and watch it arrive here:`,
    '',
    ...EXAMPLE.map((text) => `${MARGIN}  ${screen.styled('dim', text)}`),
    '',
  ]);
}

const EXAMPLE = [
  'mutation {',
  '  eventPublish(input: { type: "github.push", payload: { ref: "refs/heads/main" } }) {',
  '    event { id sequence }',
  '    userErrors { field message }',
  '  }',
  '}',
];
