import { setTimeout as pause } from 'node:timers/promises';
import type { Caller, Outcome } from './caller';
import { EVENT_TYPES } from './cast';
import type { Answer, Publication } from './facts';
import { between, pick, type Random } from './random';

interface Draft extends Publication {
  readonly answers: Answer[];
  readonly input: Readonly<Record<string, unknown>>;
}

interface Result {
  readonly event: { readonly id: string; readonly sequence: number } | null;
  readonly deduplicated: boolean;
  readonly userErrors: readonly { readonly message: string }[];
}

interface Options {
  readonly applicationId: string;
  readonly caller: Caller;
  readonly random: Random;
  /** Where the numbers of this publisher begin; no other may use them. */
  readonly firstNo: number;
  readonly complain: (problem: string) => void;
}

const RESULT = 'event { id sequence } deduplicated userErrors { message }';
const PUBLISH_ONE = `mutation ($input: EventPublishInput!) { eventPublish(input: $input) { ${RESULT} } }`;
const PUBLISH_MANY = `mutation ($input: EventsPublishInput!) { eventsPublish(input: $input) { results { ${RESULT} } userErrors { message } } }`;

const MAX_AT_ONCE = 6;
const ORDERING_KEYS = 8;
/** Shares of all publishes. */
const SEVERAL = 0.25;
const WITH_KEY = 0.7;
const SAID_TWICE = 0.05;
const PAUSE_MS = [10, 80] as const;
const AGAIN_MS = 100;

/** Publishes one thing after another until it is stopped, and keeps every answer. */
export class Publisher {
  readonly publications: Draft[] = [];
  readonly #options: Options;
  #nextNo: number;
  #isStopping = false;
  #isDone = false;

  constructor(options: Options) {
    this.#options = options;
    this.#nextNo = options.firstNo;
  }

  get isDone(): boolean {
    return this.#isDone;
  }

  /** Resolves when it was stopped and has an answer to what it had begun. */
  async run(): Promise<void> {
    const { random } = this.#options;
    while (!this.#isStopping) {
      await this.#publish();
      await pause(between(random, ...PAUSE_MS));
    }
    this.#isDone = true;
  }

  stop(): void {
    this.#isStopping = true;
  }

  async #publish(): Promise<void> {
    const { random } = this.#options;
    const hasKey = random() < WITH_KEY;
    const drafts = Array.from({ length: random() < SEVERAL ? between(random, 2, MAX_AT_ONCE) : 1 }, () => this.#draft(hasKey));
    this.publications.push(...drafts);
    await this.#send(drafts);
    // One that has no key must not be said again unless it is sure that it was not heard.
    while (drafts.some(({ answers }) => answers.at(-1) === 'refused' || (hasKey && answers.at(-1) === 'unknown'))) {
      await pause(AGAIN_MS);
      await this.#send(drafts);
    }
    if (hasKey && random() < SAID_TWICE) await this.#send(drafts);
  }

  #draft(hasKey: boolean): Draft {
    const { applicationId, random } = this.#options;
    const no = this.#nextNo++;
    const orderingKey = random() < 0.8 ? `key-${between(random, 1, ORDERING_KEYS)}` : undefined;
    const input = {
      type: pick(random, EVENT_TYPES),
      payload: { no, total: between(random, 1, 100), note: 'x'.repeat(between(random, 0, 600)) },
      ...(orderingKey !== undefined && { orderingKey }),
      ...(hasKey && { idempotencyKey: `no-${no}` }),
    };
    return { applicationId, no, hasKey, answers: [], input };
  }

  async #send(drafts: readonly Draft[]): Promise<void> {
    const results = await this.#results(drafts);
    for (const [index, draft] of drafts.entries())
      draft.answers.push(typeof results === 'string' ? results : this.#answerOf(draft, results.data[index]));
  }

  async #results(drafts: readonly Draft[]): Promise<Outcome<readonly Result[]>> {
    const { caller } = this.#options;
    const [only] = drafts;
    if (drafts.length === 1 && only) {
      const outcome = await caller.call<{ eventPublish: Result }>(PUBLISH_ONE, { input: only.input });
      return typeof outcome === 'string' ? outcome : { data: [outcome.data.eventPublish] };
    }
    const outcome = await caller.call<{ eventsPublish: { results: Result[] } }>(PUBLISH_MANY, {
      input: { events: drafts.map(({ input }) => input) },
    });
    return typeof outcome === 'string' ? outcome : { data: outcome.data.eventsPublish.results };
  }

  #answerOf({ no }: Draft, result: Result | undefined): Answer {
    if (result?.event) return { ...result.event, deduplicated: result.deduplicated };
    this.#options.complain(`no ${no} was refused: ${result?.userErrors.map(({ message }) => message).join('; ')}`);
    return 'unknown';
  }
}
