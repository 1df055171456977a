import type { Header } from '../webhooks/webhook';
import type { Attempt } from './attempt';

/** Linux takes 128 KiB in one argument of a command; what a shell builds in is free of that. */
const MAX_ARGUMENT_CHARS = 32 * 1024;

interface Changes {
  readonly url?: string;
  readonly headers?: readonly Header[];
}

/** The request of an attempt as a POSIX shell command; a body that is gone, or not for the caller, is left out. */
export function curlOf(
  attempt: Attempt,
  body: string | null,
  { url = attempt.url, headers = attempt.requestHeaders }: Changes = {},
): string {
  // Without --globoff, curl would take brackets and braces of a URL for patterns.
  const parts = [`curl --globoff -X POST ${quoted(url)}`];
  // `name:` would make curl drop the header; `name;` sends it empty.
  for (const { name, value } of headers) parts.push(`-H ${quoted(value.trim() === '' ? `${name};` : `${name}: ${value}`)}`);
  if (body === null) return parts.join(' \\\n  ');
  if (body.length <= MAX_ARGUMENT_CHARS) return [...parts, `--data-raw ${quoted(body)}`].join(' \\\n  ');
  return `printf %s ${quoted(body)} |\n${[...parts, '--data-binary @-'].join(' \\\n  ')}`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
