import type { Clock } from '../clock';
import { newSpanId } from '../ids';
import { traceHeaders } from '../trace-context';
import type { LiveWebhook } from '../webhooks/webhook-cache';
import type { Job } from './job';
import { contentHeaders, type FixedBody, readyBody, STANDARD_BODY } from './request/body';
import type { HeldBody, Shaper } from './request/shaper';
import { sign } from './request/sign';
import type { Exchange, HeaderPair, OutgoingRequest } from './transport/exchange';

/** An attempt that has ended and waits to be written down. */
export interface Finished {
  readonly job: Job;
  readonly webhook: LiveWebhook;
  readonly request: OutgoingRequest;
  readonly exchange: Exchange;
  /** What was sent; null when it could not be made. */
  readonly body: FixedBody | null;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
}

interface Deps {
  readonly userAgent: string;
  readonly clock: Clock;
  readonly sender: { send(request: OutgoingRequest): Promise<Exchange> };
  /** Makes bodies that payload queries ask for. */
  readonly shaper: Pick<Shaper, 'bodyFor'>;
}

interface Circumstances {
  /** How long it may take at present, which may be less than the webhook allows. */
  readonly timeoutMs: number;
  readonly hold: (body: HeldBody) => void;
}

/** Makes one attempt: the body, the signed request, the exchange. */
export class Attempter {
  readonly #deps: Deps;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** `hold` is called with a body that was made for the delivery: it counts as used until it is released. */
  async attempt(job: Job, webhook: LiveWebhook, { timeoutMs, hold }: Circumstances): Promise<Finished> {
    const { clock, sender, userAgent } = this.#deps;
    const startedAt = clock.now();
    const body = readyBody(job.event, job.body, webhook.payloadQuery, webhook.format) ?? (await this.#shaped(job, webhook, hold));
    const fixed = 'problem' in body ? null : body;
    const request = { ...requestFor(job, webhook, fixed, startedAt, userAgent), timeoutMs };
    const exchange = 'problem' in body ? payloadError(body.problem) : await sender.send(request);
    return { job, webhook, request, exchange, body: fixed, startedAt };
  }

  async #shaped({ event }: Job, { payloadQuery, format }: LiveWebhook, hold: (body: HeldBody) => void) {
    const held = await this.#deps.shaper.bodyFor(event, null, payloadQuery, format);
    if ('problem' in held) return held;
    hold(held);
    return held.body;
  }
}

const NO_BODY: FixedBody = { key: STANDARD_BODY, bytes: Buffer.alloc(0) };

/** Nothing was sent: the body could not be made. */
export function payloadError(problem: string): Exchange {
  return {
    outcome: 'PAYLOAD_ERROR',
    statusCode: null,
    error: problem,
    responseHeaders: [],
    responseBody: null,
    responseTruncated: false,
    durationMs: 0,
  };
}

/** The signed request of an attempt; `fixed` is null where no body could be made and nothing will be sent. */
export function requestFor(job: Job, webhook: LiveWebhook, fixed: FixedBody | null, now: number, userAgent: string): OutgoingRequest {
  const { event } = job;
  const { key, bytes: body } = fixed ?? NO_BODY;
  const timestamp = Math.floor(now / 1_000);
  const headers: HeaderPair[] = [
    ...contentHeaders(event, key),
    ['user-agent', userAgent],
    ['webhook-id', event.id],
    ['webhook-timestamp', String(timestamp)],
    ['webhook-signature', sign({ id: event.id, timestamp, body }, webhook.signingKeys, now)],
    ['livehook-delivery-id', job.deliveryId],
    ['livehook-attempt', String(job.attemptCount + 1)],
    ['livehook-sequence', String(event.sequence)],
    ['livehook-event-type', event.type],
    ...(event.traceContext === null ? [] : traceHeaders(event.traceContext, newSpanId())),
    ...webhook.headers,
  ];
  const { url, timeoutMs, applicationId, credentials } = webhook;
  return { url, headers, body, timeoutMs, applicationId, credentials };
}
