import { randomBytes } from 'node:crypto';
import { type Clock } from '../clock';
import { sign } from '../delivery/request/sign';
import type { Exchange, OutgoingRequest } from '../delivery/transport/exchange';
import { shown } from '../errors';
import { newEventId } from '../ids';
import type { Candidate, Permission } from '../webhooks/verification';
import { Slots } from './slots';

interface Deps {
  readonly clock: Clock;
  readonly userAgent: string;
  /** The DNS name that targets are asked for permission with. */
  readonly origin: string;
  readonly sender: { send(request: OutgoingRequest): Promise<Exchange> };
}

const MAX_AT_ONCE_PER_APPLICATION = 5;
const MAX_AT_ONCE = 64;
const MAX_RATE = 2 ** 31 - 1;

/** Asks targets whether they want what is about to be sent to them. */
export class Verifier {
  readonly #deps: Deps;
  readonly #slots = new Slots({ mostOfOne: MAX_AT_ONCE_PER_APPLICATION, most: MAX_AT_ONCE });

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  async verify(candidate: Candidate): Promise<Permission> {
    const { applicationId } = candidate;
    const slot = this.#slots.take(applicationId, applicationId, candidate.timeoutMs);
    if (typeof slot === 'string')
      return { problem: `expected at most ${MAX_AT_ONCE_PER_APPLICATION} verifications at once: try again in a moment`, isBusy: true };
    try {
      const within = { ...candidate, timeoutMs: slot.timeoutMs };
      return await (within.verification === 'CHALLENGE' ? this.#challenge(within) : this.#handshake(within));
    } finally {
      slot.release();
    }
  }

  async #challenge(candidate: Candidate): Promise<Permission> {
    const { clock, userAgent, sender } = this.#deps;
    const challenge = randomBytes(24).toString('base64url');
    const body = Buffer.from(JSON.stringify({ type: 'livehook.webhook.verification', challenge }));
    const now = clock.now();
    const id = newEventId(candidate.applicationId, 0);
    const timestamp = Math.floor(now / 1_000);
    const exchange = await sender.send({
      applicationId: candidate.applicationId,
      url: candidate.url,
      timeoutMs: candidate.timeoutMs,
      credentials: candidate.credentials,
      body,
      headers: [
        ['content-type', 'application/json'],
        ['user-agent', userAgent],
        ['webhook-id', id],
        ['webhook-timestamp', String(timestamp)],
        ['webhook-signature', sign({ id, timestamp, body }, candidate.signingKeys, now)],
        ...candidate.headers,
      ],
    });
    return judgeChallenge(exchange, challenge);
  }

  async #handshake({ applicationId, url, timeoutMs, headers, credentials }: Candidate): Promise<Permission> {
    const { origin, userAgent, sender } = this.#deps;
    const exchange = await sender.send({
      method: 'OPTIONS',
      applicationId,
      url,
      timeoutMs,
      credentials,
      body: '',
      headers: [['user-agent', userAgent], ['webhook-request-origin', origin], ...headers],
    });
    return judgeHandshake(exchange, origin);
  }
}

/** Pure: whether the challenge came back, as plain text or as JSON. */
export function judgeChallenge({ outcome, error, responseBody }: Exchange, challenge: string): Permission {
  if (outcome !== 'SUCCESS') return { problem: `the target did not pass its verification: ${error}` };
  const text = (responseBody ?? '').trim();
  if (text === challenge || challengeIn(text) === challenge) return { allowedRatePerMinute: null };
  return { problem: `expected the target to send the challenge back, as {"challenge": …} or as plain text; got ${shown(text)}` };
}

function challengeIn(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && 'challenge' in value ? value.challenge : value;
  } catch {
    return undefined;
  }
}

/**
 * Pure: HTTP 1.1 Web Hooks for Event Delivery, section 4.2. The status alone is no consent: any server may answer
 * OPTIONS.
 */
export function judgeHandshake({ outcome, error, responseHeaders }: Exchange, origin: string): Permission {
  if (outcome !== 'SUCCESS') return { problem: `the target did not pass its verification: ${error}` };
  const header = (wanted: string) => responseHeaders.find(([name]) => name === wanted)?.[1].trim();
  const allowed = header('webhook-allowed-origin');
  if (allowed !== '*' && allowed?.toLowerCase() !== origin.toLowerCase())
    return {
      problem: `expected the target to answer OPTIONS with WebHook-Allowed-Origin: ${origin} or *; got ${shown(allowed ?? 'none')}`,
    };
  const rate = header('webhook-allowed-rate') ?? '*';
  if (rate === '*') return { allowedRatePerMinute: null };
  if (!/^[1-9]\d{0,15}$/.test(rate))
    return { problem: `expected WebHook-Allowed-Rate to be * or a number of requests per minute; got ${shown(rate)}` };
  return { allowedRatePerMinute: Math.min(Number(rate), MAX_RATE) };
}
