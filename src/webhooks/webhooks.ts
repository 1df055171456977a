import { refuseUnknown } from '../applications/applications';
import type { Clock } from '../clock';
import { InputRefused, Problems, refuse, shown, UserErrorCode } from '../errors';
import { applicationIdOf, idRange, isId, newWebhookId } from '../ids';
import type { Database, Tx } from '../store/database';
import { type Page, type PageRequest, readPage } from '../store/page';
import type { Seal } from './seal';
import { newSigningSecret, parseSigningSecret } from './signing-secret';
import type { TargetUrl } from './target-url';
import { Webhook, WebhookStatus } from './webhook';
import {
  checkSettings,
  DEFAULT_EVENT_TYPES,
  DEFAULT_MAX_CONCURRENCY,
  DEFAULT_TIMEOUT_SECONDS,
  type WebhookSettings,
} from './webhook-input';

export interface WebhookCreation extends WebhookSettings {
  readonly url: string;
  /** `whsec_…`; generated when absent. */
  readonly secret?: string | null;
}

export interface WebhookChange extends WebhookSettings {
  /** The change is refused with CONFLICT unless the webhook is still at this version. */
  readonly expectedVersion?: number | null;
}

export interface WebhookSelection {
  readonly statuses?: readonly WebhookStatus[] | null;
  /** Only webhooks with this URL, in whatever spelling. */
  readonly url?: string | null;
}

interface Deps {
  readonly database: Database;
  readonly clock: Clock;
  readonly seal: Seal;
  /** The normal form of a target URL, or what is wrong with it. */
  readonly target: (url: string) => TargetUrl;
  /** Called after the commit of any change. */
  readonly changed: (applicationId: string) => Promise<void>;
}

/** What partners register. Every change bumps the application's `version`, under the lock that appends take. */
export class Webhooks {
  readonly #deps: Deps;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  async create(applicationId: string, creation: WebhookCreation): Promise<{ webhook: Webhook; signingSecret: string }> {
    const url = this.#check(creation, { isUrlRequired: true }) ?? '';
    const { clock, seal } = this.#deps;
    const signingSecret = creation.secret ?? newSigningSecret();
    const parsed = parseSigningSecret(signingSecret);
    if ('problem' in parsed) return refuse('secret', parsed.problem);
    const id = newWebhookId(applicationId);
    const now = new Date(clock.now());
    const webhook = Object.assign(new Webhook(), {
      id,
      applicationId,
      url,
      ...settled(creation),
      sealedSecret: seal.close(parsed.key, id),
      secretHint: signingSecret.slice(-4),
      status: WebhookStatus.ACTIVE,
      version: 1,
      createdAt: now,
      updatedAt: now,
      deletedAt: null,
    });
    await this.#changing(applicationId, (tx) => tx.manager.insert(Webhook, webhook));
    return { webhook, signingSecret };
  }

  async update(id: string, change: WebhookChange): Promise<Webhook> {
    const url = this.#check(change, { isUrlRequired: false });
    return this.#edit(id, (webhook) => {
      if (typeof change.expectedVersion === 'number' && change.expectedVersion !== webhook.version)
        refuse(
          'expectedVersion',
          `expected version ${change.expectedVersion}, but the webhook is at version ${webhook.version}`,
          UserErrorCode.CONFLICT,
        );
      if (url !== undefined) webhook.url = url;
      const values = settled(change);
      for (const [field, given] of Object.entries(FIELDS)) {
        if (change[given] !== undefined) Object.assign(webhook, { [field]: values[field as keyof typeof values] });
      }
    });
  }

  /** It gets no more deliveries; those that wait are cancelled in the background. */
  async delete(id: string): Promise<Webhook> {
    return this.#edit(id, (webhook) => {
      webhook.deletedAt = new Date(this.#deps.clock.now());
    });
  }

  async pause(id: string): Promise<Webhook> {
    return this.#edit(id, (webhook) => {
      if (webhook.status === WebhookStatus.DISABLED)
        refuse('id', 'the webhook is disabled: resume it before pausing it', UserErrorCode.CONFLICT);
      webhook.status = WebhookStatus.PAUSED;
    });
  }

  /** Sends again, beginning with what waited; a disabled webhook is enabled. */
  async resume(id: string): Promise<Webhook> {
    return this.#edit(id, (webhook) => {
      webhook.status = WebhookStatus.ACTIVE;
    });
  }

  /** The target said it is gone. Whoever changed the webhook since the attempt left has the last word. */
  async disable(id: string, seenVersion: number): Promise<void> {
    await this.#edit(id, (webhook) => {
      if (webhook.version !== seenVersion) return false;
      webhook.status = WebhookStatus.DISABLED;
    }).catch((error: unknown) => {
      if (!(error instanceof InputRefused)) throw error; // deleted meanwhile
    });
  }

  /** Deleted ones too: deliveries still name them. */
  async byIds(ids: readonly string[]): Promise<Webhook[]> {
    return this.#deps.database.read.manager.createQueryBuilder(Webhook, 'w').where('w.id IN (:...ids)', { ids }).getMany();
  }

  async byId(id: string): Promise<Webhook | null> {
    if (!isId('whk', id)) return null;
    const webhook = await this.#deps.database.read.manager.findOneBy(Webhook, { id });
    return webhook?.deletedAt === null ? webhook : null;
  }

  /** In the order of their ids, which are random. */
  async list(applicationId: string, selection: WebhookSelection, page: PageRequest): Promise<Page<Webhook>> {
    const select = this.#deps.database.read.manager
      .createQueryBuilder(Webhook, 'w')
      .where('w.id >= :from AND w.id < :to', idRange('whk', applicationId))
      .andWhere('w.deletedAt IS NULL');
    if (selection.statuses)
      select.andWhere('w.status IN (:...statuses)', { statuses: selection.statuses.length > 0 ? selection.statuses : [''] });
    if (selection.url) {
      const target = this.#deps.target(selection.url);
      select.andWhere('w.url = :url', { url: 'url' in target ? target.url : selection.url });
    }
    return readPage(select, { ...page, column: 'w.id', direction: 'ASC' });
  }

  /** `step` changes the record, or returns false to leave it as it is. */
  async #edit(id: string, step: (webhook: Webhook) => false | undefined): Promise<Webhook> {
    if (!isId('whk', id)) return refuseUnknownWebhook(id);
    const applicationId = applicationIdOf(id);
    return this.#changing(
      applicationId,
      async (tx) => {
        const webhook = await tx.manager.findOneBy(Webhook, { id });
        if (webhook === null || webhook.deletedAt !== null) return refuseUnknownWebhook(id);
        if (step(webhook) === false) return webhook;
        webhook.version++;
        webhook.updatedAt = new Date(this.#deps.clock.now());
        const { id: _, applicationId: __, ...columns } = webhook;
        await tx.manager.update(Webhook, { id }, columns);
        return webhook;
      },
      () => refuseUnknownWebhook(id),
    );
  }

  /** The counter row comes first, as in an append: both are served in turn and neither can miss the other. */
  async #changing<T>(
    applicationId: string,
    work: (tx: Tx) => Promise<T>,
    unknown: () => never = () => refuseUnknown(applicationId),
  ): Promise<T> {
    const result = await this.#deps.database.transaction(async (tx) => {
      const known = await tx.execute("UPDATE counters SET version = version + 1 WHERE application_id = ? AND log = 'event'", [
        applicationId,
      ]);
      if (known === 0) unknown();
      return work(tx);
    });
    await this.#deps.changed(applicationId);
    return result;
  }

  /** Throws what is wrong; returns the URL in its normal form, where one is given. */
  #check(settings: WebhookSettings & { secret?: string | null }, { isUrlRequired }: { isUrlRequired: boolean }): string | undefined {
    const problems = new Problems();
    let url: string | undefined;
    if (settings.url === null || (isUrlRequired && settings.url === undefined))
      problems.add('url', 'expected a URL, got nothing', UserErrorCode.REQUIRED);
    if (typeof settings.url === 'string') {
      const target = this.#deps.target(settings.url);
      if ('problem' in target) problems.add('url', target.problem);
      else url = target.url;
    }
    checkSettings(settings, problems);
    problems.throwIfAny();
    return url;
  }
}

/** The record's fields and the settings they come from. */
const FIELDS = {
  description: 'description',
  eventTypes: 'eventTypes',
  headers: 'headers',
  ownRetrySchedule: 'retrySchedule',
  timeoutSeconds: 'timeoutSeconds',
  maxConcurrency: 'maxConcurrency',
} as const satisfies Partial<Record<keyof Webhook, keyof WebhookSettings>>;

/** Settings with the defaults for what is absent or null. */
function settled(settings: WebhookSettings): Pick<Webhook, keyof typeof FIELDS> {
  return {
    description: settings.description ?? null,
    eventTypes: [...new Set(settings.eventTypes ?? DEFAULT_EVENT_TYPES)],
    headers: (settings.headers ?? []).map(({ name, value }) => ({ name, value })),
    ownRetrySchedule: settings.retrySchedule ? [...settings.retrySchedule] : null,
    timeoutSeconds: settings.timeoutSeconds ?? DEFAULT_TIMEOUT_SECONDS,
    maxConcurrency: settings.maxConcurrency ?? DEFAULT_MAX_CONCURRENCY,
  };
}

export function refuseUnknownWebhook(id: string): never {
  return refuse('id', `expected the id of a webhook, got ${shown(id)}`, UserErrorCode.NOT_FOUND);
}
