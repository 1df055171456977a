import { type Attempt, AttemptTrigger } from '../attempts/attempt';
import { insertAttempts, testBodyKey } from '../attempts/attempts';
import type { Clock } from '../clock';
import { DeliveryStatus } from '../deliveries/delivery';
import { type Finished, payloadError, requestFor } from '../delivery/attempt';
import { smaller } from '../delivery/completion/completer';
import { attemptOf, type Verdict } from '../delivery/completion/settle';
import { insertBodies } from '../delivery/request/bodies';
import type { Shaper } from '../delivery/request/shaper';
import type { Exchange, OutgoingRequest } from '../delivery/transport/exchange';
import { Problems, refuse, UserErrorCode } from '../errors';
import type { Event } from '../events/event';
import type { EventTypes } from '../events/event-types';
import { checkEvent, checkType, type EventInput } from '../events/publish';
import { NO_SEQUENCE, sampleEvent } from '../events/sample-event';
import { applicationIdOf, attemptNumberOf, attemptRangeOf, deliveryId } from '../ids';
import type { Database, Tx } from '../store/database';
import type { LiveWebhook, WebhookCache } from '../webhooks/webhook-cache';
import { refuseUnknownWebhook } from '../webhooks/webhooks';
import { Slots } from './slots';

export interface TestInput {
  readonly eventType: string;
  readonly payload: unknown;
}

interface Deps {
  readonly database: Database;
  readonly clock: Clock;
  readonly userAgent: string;
  readonly sender: { send(request: OutgoingRequest): Promise<Exchange> };
  readonly shaper: Pick<Shaper, 'bodyFor'>;
  readonly webhooks: Pick<WebhookCache, 'fetch'>;
  readonly eventTypes: Pick<EventTypes, 'find'>;
}

/** A request lasts up to 30 seconds and carries up to a megabyte. */
const MAX_AT_ONCE_PER_WEBHOOK = 3;
const MAX_AT_ONCE = 64;
const TOO_MANY = {
  holder: `expected at most ${MAX_AT_ONCE_PER_WEBHOOK} tests of a webhook at once`,
  application: 'expected fewer tests at once: the webhooks of the application have as many under way as it may have; try again in a moment',
} as const;
const MAX_NUMBER = 32 ** 4 - 1;
/** No event of the log has it: what belongs to sequence 0 belongs to tests. */

/**
 * Sends an event that is in no log to one webhook, now, and waits for the answer: what a real delivery would send,
 * whatever the webhook's status, selection and pace. Nothing follows from the outcome but the attempt on record.
 */
export class Tester {
  readonly #deps: Deps;
  readonly #slots = new Slots({ mostOfOne: MAX_AT_ONCE_PER_WEBHOOK, most: MAX_AT_ONCE });

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** @throws InputRefused with LIMIT_REACHED when as many tests as may be are under way */
  async test(webhookId: string, input: TestInput): Promise<Attempt> {
    const webhook = await this.#deps.webhooks.fetch(webhookId);
    if (webhook === undefined) return refuseUnknownWebhook(webhookId);
    if (!webhook.isVerified)
      return refuse(
        'id',
        'the target has passed no verification, which this hub requires: set `verification` first',
        UserErrorCode.CONFLICT,
      );
    const event = await this.#eventOf(webhook, input);
    const slot = this.#slots.take(webhookId, webhook.applicationId, webhook.timeoutMs);
    if (typeof slot === 'string') return refuse('id', TOO_MANY[slot], UserErrorCode.LIMIT_REACHED);
    try {
      const { finished, release: releaseBody } = await this.#send(webhook, event, slot.timeoutMs);
      return await this.#record(finished).finally(releaseBody);
    } finally {
      slot.release();
    }
  }

  /** What the database refuses for its size is recorded with less beside the outcome. */
  async #record(finished: Finished): Promise<Attempt> {
    const { database } = this.#deps;
    try {
      return await database.transaction((tx) => record(tx, finished));
    } catch (error) {
      const less = database.dialect.classify(error) === 'too_large' ? smaller(sent(finished), (error as Error).message) : undefined;
      if (less === undefined) throw error;
      return this.#record(less.finished);
    }
  }

  async #eventOf({ applicationId }: LiveWebhook, { eventType, payload }: TestInput): Promise<Event> {
    const problems = new InputProblems();
    const input: EventInput = { type: eventType, payload };
    const checked = checkEvent(input, problems);
    if (problems.found.length === 0) await checkType(input, checked, await this.#deps.eventTypes.find(applicationId, eventType), problems);
    problems.throwIfAny();
    return sampleEvent({ applicationId, type: eventType, payloadText: checked.payloadText, now: this.#deps.clock.now() });
  }

  async #send(webhook: LiveWebhook, event: Event, timeoutMs: number): Promise<{ finished: Finished; release: () => void }> {
    const { clock, sender, userAgent, shaper } = this.#deps;
    const startedAt = clock.now();
    const job = {
      deliveryId: deliveryId(NO_SEQUENCE, webhook.id),
      event,
      attemptCount: 0,
      manualAttempts: 0,
      trigger: AttemptTrigger.TEST,
      automaticDueAt: null,
      body: null,
      createdAt: startedAt,
      weight: 0,
    };
    const held = await shaper.bodyFor(event, null, webhook.payloadQuery, webhook.format);
    const body = 'problem' in held ? null : held.body;
    const request = { ...requestFor(job, webhook, body, startedAt, userAgent), timeoutMs };
    const exchange = 'problem' in held ? payloadError(held.problem) : await sender.send(request);
    return { finished: { job, webhook, request, exchange, body, startedAt }, release: 'problem' in held ? () => {} : held.release };
  }
}

/** An event's `type` is called `eventType` here. */
class InputProblems extends Problems {
  override add(field: string | readonly string[], message: string, code?: UserErrorCode): void {
    const [first = '', ...rest] = typeof field === 'string' ? [field] : field;
    super.add([first === 'type' ? 'eventType' : first, ...rest], message, code);
  }
}

/** A test decides nothing: nothing follows from it. */
function sent(finished: Finished): Verdict {
  return { finished, status: DeliveryStatus.FAILED, delayMs: null, endedAt: finished.startedAt };
}

/** Under the webhook's lock: tests are numbered in turn, and none is left behind by a webhook that is going. */
async function record(tx: Tx, finished: Finished): Promise<Attempt> {
  const { webhook, job, body } = finished;
  const [live] = await tx.query(`SELECT id FROM webhooks WHERE id = ? AND deleted_at IS NULL ${tx.dialect.forUpdate}`, [webhook.id]);
  if (live === undefined) return refuseUnknownWebhook(webhook.id);
  const { from, to } = attemptRangeOf(job.deliveryId);
  const [row] = await tx.query<{ last: string | null }>('SELECT MAX(id) AS last FROM attempts WHERE id >= ? AND id < ?', [from, to]);
  const last = row?.last ? attemptNumberOf(row.last) : 0;
  if (last >= MAX_NUMBER)
    refuse('id', `expected at most ${MAX_NUMBER} tests of a webhook within its retention`, UserErrorCode.LIMIT_REACHED);
  const attempt = attemptOf({ finished: { ...finished, job: { ...job, attemptCount: last } } });
  await insertAttempts(tx, [attempt]);
  if (body !== null)
    await insertBodies(tx, [
      {
        applicationId: applicationIdOf(webhook.id),
        sequence: NO_SEQUENCE,
        key: testBodyKey(attempt.id),
        body: body.bytes.toString(),
      },
    ]);
  return attempt;
}
