import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { type HeadersLike, verifySignature, WebhookVerificationError } from '../../receiver';
import { WrongUsage } from './hub-access';
import { print } from './output';

interface Options {
  readonly secret: string[];
  readonly headers?: string;
  readonly body?: string;
  readonly header?: string[];
  readonly at?: string;
}

export const verifyCommand = () =>
  new Command('verify')
    .description('check the signature of a request that a receiver has kept, and say which of id, time, body or secret is wrong')
    .requiredOption('--secret <secret...>', 'whsec_… for v1, the public key whpk_… for v1a; several while one replaces another')
    .option('--headers <path>', 'file with the headers, a line each: "name: value"')
    .option('--header <line...>', 'a header: "webhook-id: evt_…"')
    .option('--body <path>', 'file with the body, byte for byte; left out: standard input')
    .option('--at <time>', 'when it came, as ISO 8601; left out: its age is not judged')
    .addHelpText('after', '\nExample:\n  livehook verify --secret whsec_… --headers headers.txt --body body.json')
    .action(verify);

async function verify(options: Options): Promise<void> {
  const headers = headersOf(options);
  const body = readBytes(options.body ?? 0, '--body');
  const now = options.at === undefined ? timeIn(headers) : Date.parse(options.at);
  if (Number.isNaN(now)) throw new WrongUsage('--at: expected a time such as 2026-01-31T12:00:00Z');
  try {
    const { id, timestamp } = verifySignature(body, headers, { secrets: options.secret, now });
    await print(`The signature is right: ${id}, sent ${timestamp.toISOString()}.`);
  } catch (error) {
    if (!(error instanceof WebhookVerificationError)) throw error;
    const found = error.code === 'SIGNATURE_MISMATCH' ? explained(body, headers, options.secret, now) : undefined;
    process.stderr.write(`livehook: ${found ?? `${PART[error.code]}: ${error.message}`}\n`);
    process.exitCode = 1;
  }
}

const PART = {
  HEADER_MISSING: 'headers',
  HEADER_INVALID: 'time',
  TIMESTAMP_TOO_OLD: 'time',
  TIMESTAMP_TOO_NEW: 'time',
  SIGNATURE_MISMATCH: 'secret, id, time or body',
  SECRET_INVALID: 'secret',
  BODY_INVALID: 'body',
} as const;

/** What is often done to a request on its way, each undone: the one that makes the signature right is what is wrong. */
function explained(body: Buffer, headers: HeadersLike, secrets: readonly string[], now: number): string | undefined {
  const fits = (changed: { body?: Buffer; headers?: HeadersLike; secrets?: readonly string[] }) => {
    try {
      verifySignature(changed.body ?? body, changed.headers ?? headers, { secrets: changed.secrets ?? secrets, now });
      return true;
    } catch {
      return false;
    }
  };
  const text = body.toString();
  const asText = secrets.map((secret) => `whsec_${Buffer.from(secret).toString('base64')}`);
  const trimmed = text.trim();
  if (trimmed !== text && fits({ body: Buffer.from(trimmed) }))
    return 'body: there is white space around it that was not sent, such as a line end';
  if (fits({ body: Buffer.from(minified(text)) }))
    return 'body: it was parsed and written anew: the signature is over the bytes as they came';
  if (fits({ body: Buffer.from(text, 'latin1') })) return 'body: it was read as another encoding than UTF-8';
  if (fits({ secrets: asText })) return 'secret: it was used as text to sign; its key is what follows whsec_, decoded from base64';
  return undefined;
}

function minified(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text));
  } catch {
    return text;
  }
}

function headersOf({ headers, header = [] }: Options): Record<string, string> {
  const lines = headers === undefined ? [] : readBytes(headers, '--headers').toString().split(/\r?\n/);
  const found: Record<string, string> = {};
  for (const line of [...lines, ...header]) {
    const [, name, value] = /^\s*"?([\w-]+)"?\s*:\s*"?(.*?)"?,?\s*$/.exec(line) ?? [];
    if (name !== undefined && value !== undefined) found[name.toLowerCase()] = value;
  }
  if (Object.keys(found).length === 0) throw new WrongUsage('expected the headers of the request: --headers or --header');
  return found;
}

/** The request's own time: it is judged as when it came. */
function timeIn(headers: Readonly<Record<string, string>>): number {
  const seconds = Number(headers['webhook-timestamp']);
  return Number.isFinite(seconds) ? seconds * 1_000 : 0;
}

function readBytes(path: string | 0, option: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new WrongUsage(`${option}: ${(error as Error).message}`);
  }
}
