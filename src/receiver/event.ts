import { type HeadersLike, headerOf, textOf, WebhookVerificationError } from './verify';

/** An event as a webhook brings it. */
export interface WebhookEvent<Type extends string = string, Data = unknown> {
  readonly id: string;
  readonly type: Type;
  /** When it happened: ISO 8601. */
  readonly timestamp: string;
  /** 1, 2, 3 … in the order in which the application's events were stored. */
  readonly sequence: number;
  readonly data: Data;
}

/** The event in a request that is verified, in whichever format its webhook has. */
export function eventIn(body: string | Uint8Array, headers: HeadersLike): WebhookEvent {
  const fields = jsonIn(body);
  const type = headerOf(headers, 'ce-type');
  if (type !== undefined && headerOf(headers, 'ce-specversion') !== undefined) return binaryEvent(fields, type, headers);
  if (!isObject(fields) || typeof fields.type !== 'string') throw notAnEvent();
  const { id, timestamp = fields.time, sequence, data } = fields;
  if (typeof id !== 'string') throw notAnEvent();
  return { id, type: fields.type, timestamp: String(timestamp), sequence: Number(sequence), data };
}

/** A challenge that asks whether this URL wants webhooks. */
export function challengeIn(body: string | Uint8Array): string | undefined {
  const fields = jsonIn(body);
  if (!isObject(fields) || fields.type !== 'livehook.webhook.verification') return undefined;
  return typeof fields.challenge === 'string' ? fields.challenge : undefined;
}

/** CloudEvents in binary mode: the body is the data alone. Headers are not signed, only the id among them is. */
function binaryEvent(data: unknown, type: string, headers: HeadersLike): WebhookEvent {
  const header = (name: string) => headerOf(headers, name) ?? '';
  return { id: header('webhook-id'), type, timestamp: header('ce-time'), sequence: Number(header('ce-sequence')), data };
}

function jsonIn(body: string | Uint8Array): unknown {
  try {
    return JSON.parse(textOf(body)) as unknown;
  } catch {
    throw notAnEvent();
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

function notAnEvent(): WebhookVerificationError {
  return new WebhookVerificationError('BODY_INVALID', 'Expected an event: { id, type, timestamp, sequence, data } in JSON.');
}
