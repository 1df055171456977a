import type { Attempt } from './attempt';

/** The request of an attempt as a POSIX shell command; a body that is gone is left out. */
export function curlOf(attempt: Attempt, body: string | null): string {
  const parts = [`curl -X POST ${quoted(attempt.url)}`];
  for (const { name, value } of attempt.requestHeaders) parts.push(`-H ${quoted(`${name}: ${value}`)}`);
  if (body !== null) parts.push(`--data-raw ${quoted(body)}`);
  return parts.join(' \\\n  ');
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
