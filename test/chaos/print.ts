import type { Report } from './run';

const MAX_SHOWN = 12;

/** The closing account: what happened, why requests were repeated, and everything that does not balance, by name. */
export function describeReport({ facts: { memory, exits }, balance: { findings, repeats, totals } }: Report): string[] {
  return [
    '',
    ...Object.entries(totals).map(([what, count]) => `${String(count).padStart(8)}  ${what}`),
    '',
    'Requests were repeated because of:',
    ...[...repeats].sort(([, a], [, b]) => b - a).map(([why, count]) => `${String(count).padStart(8)}  ${why}`),
    '',
    ...exits
      .filter(({ told }) => told === 'SIGTERM')
      .map(({ hub, tookMs }) => `Instance ${hub.slot} took ${(tookMs / 1_000).toFixed(1)} s to shut down`),
    ...memory.map(
      ({ hub, residentBytes, boundBytes }) => `Instance ${hub.slot} has ${megabytes(residentBytes)}, bound ${megabytes(boundBytes)}`,
    ),
    '',
    ...describeFindings(findings),
  ];
}

function describeFindings(findings: Report['balance']['findings']): string[] {
  if (findings.length === 0) return ['The ledger balances.'];
  const kinds = new Map<string, string[]>();
  for (const { kind, subject } of findings) kinds.set(kind, [...(kinds.get(kind) ?? []), subject]);
  return [
    `The ledger does not balance: ${findings.length} findings.`,
    ...[...kinds].flatMap(([kind, subjects]) => [
      `${kind} (${subjects.length}):`,
      ...subjects.slice(0, MAX_SHOWN).map((subject) => `    ${subject}`),
      ...(subjects.length > MAX_SHOWN ? [`    … and ${subjects.length - MAX_SHOWN} more`] : []),
    ]),
  ];
}

const megabytes = (bytes: number) => `${Math.round(bytes / 1024 / 1024)} MB`;
