import { setTimeout as pause } from 'node:timers/promises';
import type { Caller } from './caller';
import type { Move, WatchedWebhook } from './facts';
import { between, pick, type Random } from './random';

interface Options {
  readonly admin: Caller;
  readonly webhooks: readonly WatchedWebhook[];
  readonly random: Random;
  /** The URL of a webhook's target after so many moves. */
  readonly urlOf: (webhook: WatchedWebhook, moves: number) => string;
}

interface Done {
  readonly done: { readonly userErrors: readonly object[] };
}

const REST_MS = [500, 2_500] as const;
const PAUSED_MS = [200, 2_000] as const;

const ERRORS = 'userErrors { field message code }';
const UPDATE = `mutation ($id: ID!, $input: WebhookUpdateInput!) { done: webhookUpdate(id: $id, input: $input) { ${ERRORS} } }`;
const PAUSE = `mutation ($id: ID!) { done: webhookPause(id: $id) { ${ERRORS} } }`;
const RESUME = `mutation ($id: ID!) { done: webhookResume(id: $id) { ${ERRORS} } }`;
const RETRY = `mutation ($input: DeliveriesRetryInput!) { done: deliveriesRetry(input: $input) { ${ERRORS} } }`;
const CREATE_KEY = `mutation ($input: ApiKeyCreateInput!) { done: apiKeyCreate(input: $input) { token apiKey { id } ${ERRORS} } }`;
const REVOKE_KEY = `mutation ($id: ID!) { done: apiKeyRevoke(id: $id) { ${ERRORS} } }`;

/** What people do meanwhile: move, pause and resume webhooks, have failed deliveries sent again, make keys and revoke them. */
export class Operator {
  readonly moves: Move[] = [];
  /** Tokens of keys that were revoked. */
  readonly revoked: string[] = [];
  readonly #options: Options;
  readonly #moved = new Map<string, number>();
  #isStopping = false;

  constructor(options: Options) {
    this.#options = options;
  }

  /** Resolves when it was stopped and has done what it had begun. */
  async run(): Promise<void> {
    const { random } = this.#options;
    const duties = [() => this.#move(), () => this.#pause(), () => this.#retry(), () => this.#revoke()];
    while (!this.#isStopping) {
      await pause(between(random, ...REST_MS));
      await pick(random, duties)();
    }
  }

  stop(): void {
    this.#isStopping = true;
  }

  async #move(): Promise<void> {
    const { admin, webhooks, random, urlOf } = this.#options;
    const webhook = pick(random, webhooks);
    const moves = (this.#moved.get(webhook.name) ?? 0) + 1;
    this.#moved.set(webhook.name, moves);
    const { done } = await admin.insist<Done>(UPDATE, { id: webhook.id, input: { url: urlOf(webhook, moves) } });
    // The new target has to consent, over a connection that may fail as any other.
    if (done.userErrors.length === 0) this.moves.push({ webhook: webhook.name, moves, at: Date.now() });
  }

  async #pause(): Promise<void> {
    const { admin, webhooks, random } = this.#options;
    const { id } = pick(random, webhooks);
    await admin.insist(PAUSE, { id });
    await pause(between(random, ...PAUSED_MS));
    await admin.insist(RESUME, { id });
  }

  async #retry(): Promise<void> {
    const { admin, webhooks } = this.#options;
    for (const { id, applicationId, isHopeless } of webhooks)
      if (isHopeless) await admin.insist(RETRY, { input: { applicationId, filter: { webhookIds: [id] } } });
  }

  async #revoke(): Promise<void> {
    const { admin, webhooks, random } = this.#options;
    const { applicationId } = pick(random, webhooks);
    const { done } = await admin.insist<{ done: { token: string; apiKey: { id: string } } }>(CREATE_KEY, {
      input: { applicationId, name: 'short-lived' },
    });
    await admin.insist(REVOKE_KEY, { id: done.apiKey.id });
    this.revoked.push(done.token);
  }
}
