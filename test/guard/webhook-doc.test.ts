import { createSecretKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Webhook } from 'standardwebhooks';
import { AttemptOutcome } from '../../src/attempts/attempt';
import { SETTINGS } from '../../src/config';
import { bodyOf } from '../../src/delivery/request/body';
import { binaryHeaders, STRUCTURED_HEADERS, structuredBody } from '../../src/delivery/request/cloud-events';
import { sign } from '../../src/delivery/request/sign';
import { MAX_RESPONSE_HEADER_BYTES } from '../../src/delivery/transport/http/connection';
import { MAX_RESPONSE_BODY_BYTES, MAX_RESPONSE_HEADERS } from '../../src/delivery/transport/http/received';
import { type EventRow, eventOf } from '../../src/events/events';
import { MAX_PAYLOAD_BYTES } from '../../src/events/publish';
import { MAX_JSON_DEPTH } from '../../src/json';
import { MAX_TARGET_URL_LENGTH } from '../../src/net/target-url';
import { parseSigningSecret } from '../../src/webhooks/signing-secret';
import { Ordering, SigningScheme, WebhookHealth } from '../../src/webhooks/webhook';
import { DEFAULT_MAX_CONCURRENCY, DEFAULT_TIMEOUT_SECONDS } from '../../src/webhooks/webhook-input';
import { expectContract } from '../support/contract-file';
import { tableRows } from '../support/documentation';

const document = readFileSync(join(__dirname, '..', '..', 'schema', 'webhook.md'), 'utf8');

const SECRET = 'whsec_bGl2ZWhvb2sncyBleGFtcGxlIHNlY3JldC4uLi4=';
const TIMESTAMP = 1_769_860_805;

const row: EventRow = {
  application_id: 'app_0demo0000000',
  sequence: 42,
  id: 'evt_0demo00000000000000001aabc12',
  type: 'order.created',
  payload: '{"order":"A-1001","total":49.9,"note":"Grüße 🎁"}',
  idempotency_key: null,
  ordering_key: null,
  occurred_at: Date.UTC(2026, 0, 31, 12),
  created_at: Date.UTC(2026, 0, 31, 12),
  redacted_at: null,
  trace_context: null,
};

function example(): string {
  const parsed = parseSigningSecret(SECRET);
  if ('problem' in parsed) throw new Error(parsed.problem);
  const body = bodyOf(eventOf(row));
  const signature = sign(
    { id: row.id, timestamp: TIMESTAMP, body },
    [{ scheme: SigningScheme.V1, key: createSecretKey(parsed.key), expiresAt: null }],
    0,
  );
  return [
    `With the secret \`${SECRET}\`, whose key is the ${parsed.key.length} bytes`,
    `\`${parsed.key.toString('hex')}\` (in hexadecimal), this body of ${body.length} bytes, without a line end,`,
    '',
    '```json',
    body.toString(),
    '```',
    '',
    'comes with',
    '',
    '```http',
    'content-type: application/json',
    `webhook-id: ${row.id}`,
    `webhook-timestamp: ${TIMESTAMP}`,
    `webhook-signature: ${signature}`,
    '```',
  ].join('\n');
}

const headerLines = (headers: readonly (readonly [name: string, value: string])[]) => headers.map(([name, value]) => `${name}: ${value}`);

function structuredExample(): string {
  const event = eventOf(row);
  return ['```http', ...headerLines(STRUCTURED_HEADERS), '', structuredBody(event, row.payload), '```'].join('\n');
}

function binaryExample(): string {
  return ['```http', ...headerLines(binaryHeaders(eventOf(row))), '', row.payload, '```'].join('\n');
}

const EXAMPLES: readonly (readonly [marker: string, make: () => string])[] = [
  ['example', example],
  ['cloudevents-structured', structuredExample],
  ['cloudevents-binary', binaryExample],
];

/** The first words of a table's rows, as code. */
const firstCells = (path: string, head: string) =>
  tableRows(path, head).map(([cell]) => cell?.replaceAll('`', '').replace(' (default)', ''));

describe('schema/webhook.md', () => {
  test('has the worked examples that the code would send', () => {
    const written = EXAMPLES.reduce((text, [marker, make]) => {
      expect(text).toContain(`<!-- ${marker} -->`);
      return text.replace(
        new RegExp(`(<!-- ${marker} -->\\n)[^]*?(<!-- /${marker} -->)`),
        (_, open, close) => `${open}${make()}\n${close}`,
      );
    }, document);
    expect(written).toContain('webhook-signature: v1,');
    expectContract('webhook.md', written);
  });

  test('has an example that a receiver would take for genuine, at its time', () => {
    const body = /```json\n(.*)\n```/.exec(document)?.[1] ?? '';
    const header = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(document)?.[1] ?? '';
    const names = ['webhook-id', 'webhook-timestamp', 'webhook-signature'];
    const headers = Object.fromEntries(names.map((name) => [name, header(name)]));
    jest.useFakeTimers({ now: TIMESTAMP * 1_000 });
    try {
      const secret = /`(whsec_[^`]+)`/.exec(document.slice(document.indexOf('<!-- example -->')))?.[1] ?? '';
      expect(new Webhook(secret).verify(body, headers)).toMatchObject({ sequence: 42, data: { note: 'Grüße 🎁' } });
    } finally {
      jest.useRealTimers();
    }
  });

  test('names every outcome, the default schedule and the limits as they are', () => {
    expect(firstCells('schema/webhook.md', '| outcome |').sort()).toEqual(Object.values(AttemptOutcome).sort());
    expect(document).toContain(`\`${SETTINGS.retrySchedule.default?.replaceAll(',', ', ')}\``);
    expect(MAX_PAYLOAD_BYTES).toBe(1024 * 1024);
    for (const limit of [
      `1 MiB of minified JSON, ${MAX_JSON_DEPTH} levels deep`,
      `${DEFAULT_TIMEOUT_SECONDS} s, or what the webhook says`,
      `${DEFAULT_MAX_CONCURRENCY}, or what the webhook says`,
      `${MAX_RESPONSE_BODY_BYTES / 1024} KiB; of a longer one`,
      `${MAX_RESPONSE_HEADER_BYTES / 1024} KiB and ${MAX_RESPONSE_HEADERS} headers`,
      `${MAX_TARGET_URL_LENGTH.toLocaleString('en')} characters`,
    ])
      expect(document).toContain(limit);
  });

  test('and the guide name every ordering and every state of health', () => {
    expect(firstCells('schema/webhook.md', '| `ordering` |')).toEqual(Object.values(Ordering));
    expect(firstCells('schema/guide.md', '| `ordering` |')).toEqual(Object.values(Ordering));
    expect(firstCells('schema/guide.md', '| `health` |').sort()).toEqual(Object.values(WebhookHealth).sort());
  });
});
