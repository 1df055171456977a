import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SECOND, systemClock } from '../clock';
import { readConfig } from '../config';
import { Hub } from '../hub';
import { createLog } from '../log';
import type { Receipt } from './balance';
import { Caller } from './caller';
import { API_KEY_CREATE, APPLICATION_CREATE, WEBHOOK_CREATE } from './documents';
import { PLANS } from './plans';
import { type Alteration, Receiver } from './receiver';
import type { Screen } from './screen';
import { showStep, showWebhook } from './show';

/** Short, so that retries can be watched. */
const RETRY_SCHEDULE = '1s,1s,1s';
/** More than the hub takes to drain a request that hangs until its time-out. */
const CLOSE_LIMIT_MS = 20 * SECOND;

interface Options {
  readonly screen: Screen;
  readonly signal: AbortSignal;
  readonly received: (receipt: Receipt) => void;
  readonly alter: Alteration | undefined;
}

/** A hub on a new database, an application with its key, a receiver and the webhooks to it. */
export class Stage {
  readonly #options: Options;
  /** What was begun and must be ended, last first. */
  readonly #endings: (() => Promise<unknown>)[] = [];
  readonly #nameOf = new Map<string, string>();

  constructor(options: Options) {
    this.#options = options;
  }

  async set(): Promise<{ url: string; key: string; caller: Caller }> {
    const { url, adminKey } = await this.#startHub();
    const key = await this.#createApplication(this.#caller(url, adminKey));
    const caller = this.#caller(url, key);
    await this.#registerWebhooks(caller);
    return { url, key, caller };
  }

  webhookName(id: string): string {
    return this.#nameOf.get(id) ?? id;
  }

  /** Ends everything and removes the database; throws rather than wait for ever. */
  async strike(): Promise<void> {
    const late = new Promise<never>((_, reject) => {
      const cancel = systemClock.after(CLOSE_LIMIT_MS, () => reject(new Error(`it did not stop within ${CLOSE_LIMIT_MS / SECOND} s`)));
      this.#endings.unshift(async () => cancel());
    });
    await Promise.race([this.#end(), late]);
  }

  async #end(): Promise<void> {
    for (const end of this.#endings.reverse()) await end();
  }

  async #startHub(): Promise<{ url: string; adminKey: string }> {
    const folder = await mkdtemp(join(tmpdir(), 'livehook-demo-'));
    this.#endings.push(() => rm(folder, { recursive: true, force: true }));
    const config = readConfig({
      DATABASE_URL: `sqlite:${join(folder, 'livehook.db')}`,
      PORT: '0',
      LIVEHOOK_ALLOWED_TARGETS: '127.0.0.0/8',
      LIVEHOOK_ALLOW_HTTP: 'true',
      LIVEHOOK_RETRY_SCHEDULE: RETRY_SCHEDULE,
      LIVEHOOK_LOG_LEVEL: 'error',
    });
    const hub = new Hub({ config, log: createLog(config.logLevel) });
    this.#endings.push(() => hub.stop());
    const { url, generatedAdminKey } = await hub.start();
    if (generatedAdminKey === undefined) throw new Error('expected an admin key from a hub on a new database');
    showStep(this.#options.screen, 'hub', `${url}, on embedded SQLite in a temporary folder`);
    return { url, adminKey: generatedAdminKey };
  }

  #caller(url: string, key: string): Caller {
    const caller = new Caller(url, key, this.#options.signal);
    this.#endings.push(() => caller.close());
    return caller;
  }

  /** Returns the application's key. */
  async #createApplication(admin: Caller): Promise<string> {
    const { application } = await admin.mutate<{ application: { id: string } }>(APPLICATION_CREATE, { input: { name: 'Demo' } });
    const { token } = await admin.mutate<{ token: string }>(API_KEY_CREATE, { input: { applicationId: application.id, name: 'demo' } });
    showStep(this.#options.screen, 'application', `${application.id}, with a key of its own`);
    return token;
  }

  async #registerWebhooks(caller: Caller): Promise<void> {
    const { screen, received, alter } = this.#options;
    const receiver = new Receiver({ received, alter });
    const origin = await receiver.listen();
    this.#endings.push(() => receiver.close());
    showStep(screen, 'receiver', `${origin}, verifies with standardwebhooks`);
    showStep(screen, 'webhooks', 'three, each with a signing secret of its own');
    for (const plan of PLANS) {
      const { name, eventTypes, what, refusals } = plan;
      const { webhook, signingSecret } = await caller.mutate<{ webhook: { id: string }; signingSecret: string }>(WEBHOOK_CREATE, {
        input: { url: `${origin}/${name}`, eventTypes, description: `${name}: ${what}` },
      });
      receiver.open(name, signingSecret, refusals);
      this.#nameOf.set(webhook.id, name);
      showWebhook(screen, plan);
    }
  }
}
