import { randomBytes } from 'node:crypto';

/*
 * Every id below an application carries the application, and below an event the event's sequence, in fixed-width
 * base 32 whose text order is its number order. So ids are their own locators: a delivery's primary key clusters by
 * application and sequence, a page of a list is a range of keys, no row needs a second index to be found by its id,
 * and a sharded database can route any id by the application in it.
 *
 *   app_<12>                        application
 *   key_<12>                        API key
 *   whk_<12 application><8>         webhook
 *   evt_<12 application><11 sequence><5 random>
 *   dlv_<12 application><11 sequence><8 webhook>
 *   att_<12 application><11 sequence><8 webhook><4 number>
 *   job_<12 application><9 time><5 random>
 *   aud_<12 application><9 time><8 random>   who did what; of the hub's own log the application is all zeros
 *
 * The random end of an event's id keeps receivers, who drop repeats by it, from taking a new event for an old one
 * after a database was restored from a backup and its sequences are given out again.
 */

const RADIX = 32;
const APPLICATION_CHARS = 12;
const WEBHOOK_CHARS = 8;
const SEQUENCE_CHARS = 11;
const NONCE_CHARS = 5;
const NUMBER_CHARS = 4;
/** Milliseconds since the epoch: jobs are listed by when they were made. */
const TIME_CHARS = 9;
const AUDIT_NONCE_CHARS = 8;
const SPAN_CHARS = 16;

const LENGTH_AFTER_PREFIX = {
  app: APPLICATION_CHARS,
  key: APPLICATION_CHARS,
  ins: APPLICATION_CHARS,
  sec: APPLICATION_CHARS,
  whk: APPLICATION_CHARS + WEBHOOK_CHARS,
  evt: APPLICATION_CHARS + SEQUENCE_CHARS + NONCE_CHARS,
  dlv: APPLICATION_CHARS + SEQUENCE_CHARS + WEBHOOK_CHARS,
  att: APPLICATION_CHARS + SEQUENCE_CHARS + WEBHOOK_CHARS + NUMBER_CHARS,
  job: APPLICATION_CHARS + TIME_CHARS + NONCE_CHARS,
  aud: APPLICATION_CHARS + TIME_CHARS + AUDIT_NONCE_CHARS,
} as const;

export type IdKind = keyof typeof LENGTH_AFTER_PREFIX;

const DIGITS = '0123456789abcdefghijklmnopqrstuv';

function randomText(chars: number): string {
  let text = '';
  for (const byte of randomBytes(chars)) text += DIGITS[byte & 31];
  return text;
}

/** Pooled: a `randomBytes` call an event costs about 1 µs, a slice of a pool a tenth of it. */
const pool = { text: '', at: 0 };
function nonce(): string {
  if (pool.at + NONCE_CHARS > pool.text.length) {
    pool.text = randomText(NONCE_CHARS * 1024);
    pool.at = 0;
  }
  pool.at += NONCE_CHARS;
  return pool.text.slice(pool.at - NONCE_CHARS, pool.at);
}

/** Of a step in a trace: 16 hexadecimal digits, not all zero. One an attempt, so from a pool as well. */
const spanPool = { text: '', at: 0 };
export function newSpanId(): string {
  if (spanPool.at + SPAN_CHARS > spanPool.text.length) {
    spanPool.text = randomBytes(SPAN_CHARS * 256).toString('hex');
    spanPool.at = 0;
  }
  spanPool.at += SPAN_CHARS;
  const id = spanPool.text.slice(spanPool.at - SPAN_CHARS, spanPool.at);
  return /^0+$/.test(id) ? newSpanId() : id;
}

function fixed(value: number, chars: number): string {
  return value.toString(RADIX).padStart(chars, '0');
}

export const newApplicationId = () => `app_${randomText(APPLICATION_CHARS)}`;
export const newApiKeyId = () => `key_${randomText(APPLICATION_CHARS)}`;
export const newInstanceId = () => `ins_${randomText(APPLICATION_CHARS)}`;
export const newSecretId = () => `sec_${randomText(APPLICATION_CHARS)}`;
export const newWebhookId = (applicationId: string) => `whk_${applicationPart(applicationId)}${randomText(WEBHOOK_CHARS)}`;
export const newEventId = (applicationId: string, sequence: number) =>
  `evt_${applicationPart(applicationId)}${fixed(sequence, SEQUENCE_CHARS)}${nonce()}`;
export const newRetryJobId = (applicationId: string, now: number) =>
  `job_${applicationPart(applicationId)}${fixed(now, TIME_CHARS)}${nonce()}`;

/** What the id of an event begins with; `id` is one of its application, such as a webhook's. */
export const eventIdStart = (id: string, sequence: number) => `evt_${applicationPart(id)}${fixed(sequence, SEQUENCE_CHARS)}`;

/** One delivery an event and webhook: the id follows from the two, so the primary key keeps a second one out. */
export const deliveryId = (sequence: number, webhookId: string) => deliveryIds(sequence, webhookId)(webhookId);

/** As `deliveryId`, for many webhooks of one application: what their ids begin with is made once. */
export function deliveryIds(sequence: number, ofApplication: string): (webhookId: string) => string {
  const start = `dlv_${applicationPart(ofApplication)}${fixed(sequence, SEQUENCE_CHARS)}`;
  return (webhookId) => start + webhookId.slice(4 + APPLICATION_CHARS);
}

export const attemptId = (delivery: string, number: number) => `att_${delivery.slice(4)}${fixed(number, NUMBER_CHARS)}`;

function applicationPart(id: string): string {
  return id.slice(4, 4 + APPLICATION_CHARS);
}

/** Whether `id` has the form of that kind; says nothing about the thing existing. */
export function isId(kind: IdKind, id: string): boolean {
  return id.length === 4 + LENGTH_AFTER_PREFIX[kind] && id.startsWith(`${kind}_`) && /^[0-9a-v]*$/.test(id.slice(4));
}

export function kindOf(id: string): IdKind | undefined {
  const kind = id.slice(0, 3);
  return Object.hasOwn(LENGTH_AFTER_PREFIX, kind) && isId(kind as IdKind, id) ? (kind as IdKind) : undefined;
}

/** The application that owns a webhook, event, delivery or attempt. */
export const applicationIdOf = (id: string) => `app_${applicationPart(id)}`;

/** The sequence of the event that an event's, delivery's or attempt's id belongs to. */
export const sequenceOf = (id: string) => Number.parseInt(id.slice(4 + APPLICATION_CHARS, 4 + APPLICATION_CHARS + SEQUENCE_CHARS), RADIX);

export const webhookIdOf = (delivery: string) => {
  const start = 4 + APPLICATION_CHARS + SEQUENCE_CHARS;
  return `whk_${applicationPart(delivery)}${delivery.slice(start, start + WEBHOOK_CHARS)}`;
};

export const deliveryIdOf = (attempt: string) => `dlv_${attempt.slice(4, -NUMBER_CHARS)}`;

export const attemptNumberOf = (attempt: string) => Number.parseInt(attempt.slice(-NUMBER_CHARS), RADIX);

/** The ids of one kind of an application as a half-open range of keys: `from <= id and id < to`. */
export function idRange(kind: 'whk' | 'dlv' | 'att' | 'job' | 'aud', applicationId: string): { from: string; to: string } {
  const from = `${kind}_${applicationPart(applicationId)}`;
  return { from, to: `${from}~` };
}

/** Stands for the application in what belongs to none. */
export const HUBS_OWN = `app_${'0'.repeat(APPLICATION_CHARS)}`;

export const newAuditId = (applicationId: string, at: number) =>
  `aud_${applicationPart(applicationId)}${fixed(at, TIME_CHARS)}${randomText(AUDIT_NONCE_CHARS)}`;

/** What was noted of an application from one time on and before another, as such a range. */
export function auditRange(applicationId: string, from?: number, before?: number): { from: string; to: string } {
  const head = `aud_${applicationPart(applicationId)}`;
  const at = (time: number) => head + fixed(Math.max(0, time), TIME_CHARS);
  return { from: from === undefined ? head : at(from), to: before === undefined ? `${head}~` : at(before) };
}

/** The deliveries of one event as such a range. */
export function deliveryRangeOf(event: string): { from: string; to: string } {
  const from = `dlv_${event.slice(4, 4 + APPLICATION_CHARS + SEQUENCE_CHARS)}`;
  return { from, to: `${from}~` };
}

/** The attempts of one delivery as such a range. */
export function attemptRangeOf(delivery: string): { from: string; to: string } {
  const from = `att_${delivery.slice(4)}`;
  return { from, to: `${from}~` };
}

/** The deliveries or attempts of an application's events from one sequence to another, both included, as such a range. */
export function sequenceRange(kind: 'dlv' | 'att', applicationId: string, first: number, last: number): { from: string; to: string } {
  const head = `${kind}_${applicationPart(applicationId)}`;
  return { from: head + fixed(first, SEQUENCE_CHARS), to: `${head}${fixed(last, SEQUENCE_CHARS)}~` };
}
