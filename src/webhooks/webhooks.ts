import { refuseUnknown } from '../applications/applications';
import { type Clock, SECOND } from '../clock';
import type { Config } from '../config';
import { InputRefused, Problems, refuse, shown, UserErrorCode } from '../errors';
import type { OperationalEvent, OperationalEvents, Tell } from '../events/operational-events';
import type { Facts } from '../facts';
import { applicationIdOf, idRange, isId, newSecretId, newWebhookId } from '../ids';
import { readFilter } from '../matching/condition';
import type { AddressPolicy } from '../net/address-policy';
import { parseTargetUrl, type TargetUrl } from '../net/target-url';
import type { Database, Tx } from '../store/database';
import type { Page, PageRequest, SearchAllowance } from '../store/page';
import { forgetCostlyFilter } from './costly-filter';
import { checkCredentials, openCredentials, storedCredentials } from './credentials';
import type { HeaderSealing } from './header-sealing';
import { closeCircuit, forgetHealth, replaceHealth } from './health';
import { type Listing, listWebhooks } from './list-webhooks';
import { withStoredValues } from './own-headers';
import type { CompilePayloadQuery } from './payload-query';
import type { Seal } from './seal';
import { keyObject, newPrivateKey, newSigningSecret, parseSigningSecret, publicKeyOf, type SigningKey } from './signing-secret';
import {
  appendWebhookUpdate,
  changeOf,
  type LoggedWebhookUpdate,
  storedDiagnosis,
  type WebhookUpdate,
  WebhookUpdateKind,
} from './update-log';
import type { Candidate, Permission } from './verification';
import { type Header, SigningScheme, Webhook, WebhookFormat, WebhookStatus, WebhookVerification } from './webhook';
import type { WebhookCache } from './webhook-cache';
import {
  checkSettings,
  DEFAULT_EVENT_TYPES,
  DEFAULT_MAX_CONCURRENCY,
  DEFAULT_ORDERING,
  DEFAULT_SIGNING,
  DEFAULT_TIMEOUT_SECONDS,
  type WebhookSettings,
} from './webhook-input';
import { WebhookSecret } from './webhook-secret';

export interface WebhookCreation extends WebhookSettings {
  readonly url: string;
  /** `whsec_…`; generated when absent. */
  readonly secret?: string | null;
}

export interface WebhookChange extends WebhookSettings {
  /** The change is refused with CONFLICT unless the webhook is still at this version. */
  readonly expectedVersion?: number | null;
}

export interface SecretRotation {
  /** `whsec_…`; generated when absent. */
  readonly secret?: string | null;
  /** How long the old secrets go on signing. */
  readonly overlapSeconds: number;
}

const MAX_OVERLAP_SECONDS = 7 * 24 * 3600;
/** Each makes every request a little longer and slower. */
const MAX_LIVE_SECRETS = 6;

/** Writes down what the transaction does to a webhook. */
type LogUpdate = (update: Omit<WebhookUpdate, 'at'>) => Promise<void>;

/** Why a webhook is disabled: one sentence without its full stop. */
export interface Disabling {
  readonly reason: string;
  /** Milliseconds since the epoch. */
  readonly failingSince: number;
}

interface Deps {
  readonly database: Database;
  readonly config: Pick<Config, 'allowHttp' | 'requireVerification' | 'webhooksPerApplication'>;
  readonly operationalEvents: Pick<OperationalEvents, 'transaction'>;
  readonly clock: Clock;
  readonly seal: Seal;
  readonly headerSealing: Pick<HeaderSealing, 'open' | 'toStore'>;
  /** Where requests may go. */
  readonly policy: AddressPolicy;
  readonly compilePayloadQuery: CompilePayloadQuery;
  readonly verifier: { verify(candidate: Candidate): Promise<Permission> };
  readonly cache: Pick<WebhookCache, 'fetch' | 'refresh'>;
  readonly facts: Facts;
}

/** What partners register. Every change bumps the application's `version`, under the lock that appends take. */
export class Webhooks {
  readonly #deps: Deps;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** The normal form of a target URL, or what is wrong with it. */
  #target(url: string): TargetUrl {
    const { config, policy } = this.#deps;
    return parseTargetUrl(url, { allowHttp: config.allowHttp, policy });
  }

  async create(applicationId: string, creation: WebhookCreation): Promise<{ webhook: Webhook; signingSecret: string | null }> {
    const url = this.#check(creation, { isUrlRequired: true }) ?? '';
    const { clock, seal, headerSealing } = this.#deps;
    const target = (text: string) => this.#target(text);
    const id = newWebhookId(applicationId);
    const headers = withStoredValues(creation.headers ?? [], []);
    const now = new Date(clock.now());
    const webhook = Object.assign(new Webhook(), {
      id,
      applicationId,
      url,
      ...settled(creation),
      ...headerSealing.toStore(id, headers),
      verification: creation.verification ?? WebhookVerification.NONE,
      allowedRatePerMinute: null as number | null,
      secretHint: '',
      publicKey: null,
      clientCertificatePem: null,
      sealedClientKey: null,
      oauth: null,
      sealedOAuthSecret: null,
      ...storedCredentials(creation, { webhookId: id, seal, target }),
      status: WebhookStatus.ACTIVE,
      version: 1,
      createdAt: now,
      updatedAt: now,
      deletedAt: null,
    });
    refuseTwoAuthorizations(webhook, headers);
    const secrets = makeSecrets(webhook.signing, creation.secret ?? undefined);
    const keys = secrets.map(({ scheme, key }) => ({ scheme, key: keyObject(scheme, key), expiresAt: null }));
    webhook.allowedRatePerMinute = await this.#verified(webhook, headers, keys);
    const signingSecret = await this.#changing(applicationId, async (tx, _tell, log) => {
      await this.#refuseTooMany(tx, applicationId);
      const shown = await this.#storeSecrets(tx, webhook, secrets);
      await tx.manager.insert(Webhook, webhook as never); // TypeORM's type for partial entities has no place for `unknown`
      await log({ webhookId: id, kind: WebhookUpdateKind.CREATED, health: null, reason: null });
      return shown;
    });
    return { webhook, signingSecret };
  }

  async update(id: string, change: WebhookChange): Promise<Webhook> {
    const url = this.#check(change, { isUrlRequired: false });
    const { headerSealing } = this.#deps;
    const moved = await this.#verifyMove(id, url, change);
    return this.#edit(id, WebhookUpdateKind.UPDATED, async (webhook, tx) => {
      if (typeof change.expectedVersion === 'number' && change.expectedVersion !== webhook.version)
        refuse(
          'expectedVersion',
          `expected version ${change.expectedVersion}, but the webhook is at version ${webhook.version}`,
          UserErrorCode.CONFLICT,
        );
      const next = moveOf(webhook, url, change);
      if (next !== undefined) {
        if (next.verification !== WebhookVerification.NONE && (moved?.url !== next.url || moved.verification !== next.verification))
          refuse('url', 'the webhook has been changed meanwhile: try again', UserErrorCode.CONFLICT);
        if (next.url !== webhook.url) await forgetHealth(tx, id);
        Object.assign(webhook, next, { allowedRatePerMinute: moved?.allowedRatePerMinute ?? null });
      }
      const values = settled(change);
      for (const [field, given] of Object.entries(FIELDS)) {
        if (change[given] !== undefined) Object.assign(webhook, { [field]: values[field as keyof typeof values] });
      }
      if (change.headers !== undefined)
        Object.assign(webhook, headerSealing.toStore(id, withStoredValues(change.headers ?? [], headerSealing.open(webhook))));
      if (change.filter !== undefined || change.payloadQuery !== undefined || change.eventTypes !== undefined)
        await forgetCostlyFilter(tx, id);
      this.#changeCredentials(webhook, webhook.headers, change);
      await this.#fitSecrets(tx, webhook);
    });
  }

  /**
   * Gives a webhook new secrets, one for each of its schemes. The old ones go on signing beside them for
   * `overlapSeconds`, so that receivers can change over in their own time.
   */
  async rotateSecret(
    id: string,
    rotation: SecretRotation,
  ): Promise<{ webhook: Webhook; signingSecret: string | null; previousExpiresAt: Date }> {
    const { secret, overlapSeconds } = rotation;
    const problems = new Problems();
    checkSettings({ secret: secret ?? null }, problems, this.#deps.compilePayloadQuery);
    if (!Number.isInteger(overlapSeconds) || overlapSeconds < 0 || overlapSeconds > MAX_OVERLAP_SECONDS)
      problems.add('overlapSeconds', `expected whole seconds from 0 to ${MAX_OVERLAP_SECONDS}, got ${overlapSeconds}`);
    problems.throwIfAny();
    const now = this.#deps.clock.now();
    const previousExpiresAt = new Date(now + overlapSeconds * SECOND);
    let signingSecret: string | null = null;
    const webhook = await this.#edit(id, WebhookUpdateKind.SECRET_ROTATED, async (found, tx) => {
      await tx.execute('DELETE FROM webhook_secrets WHERE webhook_id = ? AND expires_at IS NOT NULL AND expires_at <= ?', [id, now]);
      const [row] = await tx.query<{ live: number }>('SELECT COUNT(*) AS live FROM webhook_secrets WHERE webhook_id = ?', [id]);
      if (overlapSeconds > 0 && Number(row?.live ?? 0) + found.signing.length > MAX_LIVE_SECRETS)
        refuse(
          'id',
          `expected at most ${MAX_LIVE_SECRETS} secrets that are live at once: wait for an earlier one to end`,
          UserErrorCode.LIMIT_REACHED,
        );
      await tx.execute('UPDATE webhook_secrets SET expires_at = ? WHERE webhook_id = ? AND (expires_at IS NULL OR expires_at > ?)', [
        previousExpiresAt.getTime(),
        id,
        previousExpiresAt.getTime(),
      ]);
      signingSecret = await this.#addSecrets(tx, found, found.signing, secret ?? undefined);
    });
    return { webhook, signingSecret, previousExpiresAt };
  }

  /** It gets no more deliveries; those that wait are cancelled in the background. */
  async delete(id: string): Promise<Webhook> {
    return this.#edit(id, WebhookUpdateKind.DELETED, async (webhook, tx) => {
      await forgetHealth(tx, id);
      await forgetCostlyFilter(tx, id);
      webhook.deletedAt = new Date(this.#deps.clock.now());
    });
  }

  async pause(id: string): Promise<Webhook> {
    return this.#edit(id, WebhookUpdateKind.PAUSED, (webhook) => {
      if (webhook.status === WebhookStatus.DISABLED)
        refuse('id', 'the webhook is disabled: resume it before pausing it', UserErrorCode.CONFLICT);
      webhook.status = WebhookStatus.PAUSED;
    });
  }

  /** Sends again, beginning with what waited; a disabled webhook is enabled, and one that failed starts over. */
  async resume(id: string): Promise<Webhook> {
    return this.#edit(id, WebhookUpdateKind.RESUMED, async (webhook, tx) => {
      await forgetHealth(tx, id);
      await forgetCostlyFilter(tx, id);
      webhook.status = WebhookStatus.ACTIVE;
    });
  }

  /**
   * The target is gone, or has failed for too long. A change of the webhook since the attempt left has the last word.
   * Returns whether it was disabled.
   */
  async disable(id: string, seenVersion: number, { reason, failingSince }: Disabling, disabled: OperationalEvent): Promise<boolean> {
    let isDone = false;
    await this.#edit(id, WebhookUpdateKind.DISABLED, async (webhook, tx, tell) => {
      isDone = webhook.version === seenVersion && webhook.status !== WebhookStatus.DISABLED;
      if (!isDone) return false;
      webhook.status = WebhookStatus.DISABLED;
      await replaceHealth(tx, { webhookId: id, failingSince, isCircuitOpen: false, reason, disabledAt: this.#deps.clock.now() });
      tell(disabled);
      return undefined;
    }).catch((error: unknown) => {
      isDone = false;
      if (!(error instanceof InputRefused)) throw error; // deleted meanwhile
    });
    return isDone;
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

  /** In the order in which they were made, or the other way around; `page.after` is the text of a place. */
  async list(listing: Listing, page: PageRequest, allowance: SearchAllowance): Promise<Page<Webhook>> {
    const { selection } = listing;
    const target = selection.url ? this.#target(selection.url) : null;
    const url = target && 'url' in target ? target.url : (selection.url ?? null);
    return listWebhooks(this.#deps.database.read, { ...listing, selection: { ...selection, url } }, page, allowance);
  }

  /** Under the application's lock, so that of several that are created at once none is one too many. */
  async #refuseTooMany(tx: Tx, applicationId: string): Promise<void> {
    const { webhooksPerApplication: maxPerApplication } = this.#deps.config;
    const { from, to } = idRange('whk', applicationId);
    const [row] = await tx.query<{ n: number }>('SELECT COUNT(*) AS n FROM webhooks WHERE id >= ? AND id < ? AND deleted_at IS NULL', [
      from,
      to,
    ]);
    if (Number(row?.n ?? 0) >= maxPerApplication)
      refuse(
        'applicationId',
        `expected at most ${maxPerApplication} webhooks in an application: delete some first, or raise LIVEHOOK_WEBHOOKS_PER_APPLICATION`,
        UserErrorCode.LIMIT_REACHED,
      );
  }

  #changeCredentials(webhook: Webhook, headers: readonly Header[], change: WebhookChange): void {
    const { seal } = this.#deps;
    const target = (text: string) => this.#target(text);
    Object.assign(webhook, storedCredentials(change, { webhookId: webhook.id, seal, target }));
    refuseTwoAuthorizations(webhook, headers);
  }

  /** Asks the target whether it wants events, where the webhook says so; returns the rate that it allows. */
  async #verified(webhook: Webhook, headers: readonly Header[], signingKeys: readonly SigningKey[]): Promise<number | null> {
    const { applicationId, verification, url, timeoutSeconds } = webhook;
    if (verification === WebhookVerification.NONE) return null;
    const verdict = await this.#deps.verifier.verify({
      applicationId,
      verification,
      url,
      headers: headers.map(({ name, value }) => [name.toLowerCase(), value] as const),
      timeoutMs: timeoutSeconds * SECOND,
      signingKeys,
      credentials: openCredentials(webhook, this.#deps.seal),
    });
    if ('problem' in verdict) refuse('url', verdict.problem, verdict.isBusy ? UserErrorCode.LIMIT_REACHED : UserErrorCode.INVALID);
    return verdict.allowedRatePerMinute;
  }

  /** Before a webhook gets another URL or verification; undefined where there is nothing to verify. */
  async #verifyMove(id: string, url: string | undefined, change: WebhookChange): Promise<VerifiedMove | undefined> {
    if (url === undefined && change.verification === undefined) return undefined;
    const webhook = await this.byId(id);
    const next = webhook === null ? undefined : moveOf(webhook, url, change);
    if (webhook === null || next === undefined) return undefined;
    if (typeof change.expectedVersion === 'number' && change.expectedVersion !== webhook.version) return undefined;
    if (next.verification === WebhookVerification.NONE) {
      if (this.#deps.config.requireVerification) refuse('verification', VERIFICATION_REQUIRED, UserErrorCode.REQUIRED);
      return undefined;
    }
    Object.assign(webhook, next);
    const stored = this.#deps.headerSealing.open(webhook);
    const headers = change.headers === undefined ? stored : withStoredValues(change.headers ?? [], stored);
    if (change.timeoutSeconds !== undefined) webhook.timeoutSeconds = settled(change).timeoutSeconds;
    this.#changeCredentials(webhook, headers, change);
    return { ...next, allowedRatePerMinute: await this.#verified(webhook, headers, (await this.#deps.cache.fetch(id))?.signingKeys ?? []) };
  }

  /** Makes and stores a secret for each scheme; returns the one to be shown, once. */
  async #addSecrets(tx: Tx, webhook: Webhook, schemes: readonly SigningScheme[], own: string | undefined): Promise<string | null> {
    return this.#storeSecrets(tx, webhook, makeSecrets(schemes, own));
  }

  async #storeSecrets(tx: Tx, webhook: Webhook, secrets: readonly NewSecret[]): Promise<string | null> {
    const { seal, clock } = this.#deps;
    let shownSecret: string | null = null;
    for (const { scheme, secret, key } of secrets) {
      const id = newSecretId();
      await tx.manager.insert(WebhookSecret, {
        id,
        webhookId: webhook.id,
        scheme,
        sealed: seal.close(key, id),
        createdAt: new Date(clock.now()),
        expiresAt: null,
      });
      if (secret === null) webhook.publicKey = publicKeyOf(key);
      else webhook.secretHint = secret.slice(-4);
      shownSecret ??= secret;
    }
    return shownSecret;
  }

  /** After `signing` has changed: secrets of a scheme that is gone end at once, one that is new gets its own. */
  async #fitSecrets(tx: Tx, webhook: Webhook): Promise<void> {
    const stored = await tx.manager.findBy(WebhookSecret, { webhookId: webhook.id });
    const gone = stored.filter(({ scheme }) => !webhook.signing.includes(scheme));
    if (gone.length > 0) {
      const { sql, parameters } = tx.dialect.oneOf(
        'id',
        gone.map(({ id }) => id),
      );
      await tx.execute(`DELETE FROM webhook_secrets WHERE ${sql}`, parameters);
    }
    if (!webhook.signing.includes(SigningScheme.V1A)) webhook.publicKey = null;
    if (!webhook.signing.includes(SigningScheme.V1)) webhook.secretHint = '';
    const missing = webhook.signing.filter((scheme) => !stored.some((secret) => secret.scheme === scheme));
    if (missing.length > 0) await this.#addSecrets(tx, webhook, missing, undefined);
  }

  /** `step` changes the record, or answers false to leave it as it is. */
  async #edit(
    id: string,
    kind: WebhookUpdateKind,
    step: (webhook: Webhook, tx: Tx, tell: Tell) => false | undefined | Promise<unknown>,
  ): Promise<Webhook> {
    if (!isId('whk', id)) return refuseUnknownWebhook(id);
    const applicationId = applicationIdOf(id);
    return this.#changing(
      applicationId,
      async (tx, tell, log) => {
        const webhook = await tx.manager.findOneBy(Webhook, { id });
        if (webhook === null || webhook.deletedAt !== null) return refuseUnknownWebhook(id);
        const healthBefore = await storedDiagnosis(tx, webhook);
        const before: Readonly<Record<string, unknown>> = { ...webhook };
        if ((await step(webhook, tx, tell)) === false) return webhook;
        await closeCircuit(tx, id); // the sender starts over with the new version
        webhook.version++;
        webhook.updatedAt = new Date(this.#deps.clock.now());
        // What has not changed here is left alone: secrets may be sealed with a new key at the same time.
        const changed = Object.entries(webhook).filter(([column, value]) => value !== before[column]);
        await tx.manager.update(Webhook, { id }, Object.fromEntries(changed) as never);
        const isGone = kind === WebhookUpdateKind.DELETED;
        await log({ webhookId: id, kind, ...changeOf(healthBefore, isGone ? healthBefore : await storedDiagnosis(tx, webhook)) });
        return webhook;
      },
      () => refuseUnknownWebhook(id),
    );
  }

  /** The counter row comes first, as in an append: both are served in turn and neither can miss the other. */
  async #changing<T>(
    applicationId: string,
    work: (tx: Tx, tell: Tell, log: LogUpdate) => Promise<T>,
    unknown: () => never = () => refuseUnknown(applicationId),
  ): Promise<T> {
    let updates: LoggedWebhookUpdate[] = [];
    const result = await this.#deps.operationalEvents.transaction([], async (tx, tell) => {
      const known = await tx.execute("UPDATE counters SET version = version + 1 WHERE application_id = ? AND log = 'event'", [
        applicationId,
      ]);
      if (known === 0) unknown();
      updates = [];
      return work(tx, tell, async (update) => {
        const logged = await appendWebhookUpdate(tx, { ...update, at: this.#deps.clock.now() });
        if (logged) updates.push(logged);
      });
    });
    const { cache, facts } = this.#deps;
    facts.webhookUpdatesLogged.emit({ applicationId, updates });
    facts.webhooksEdited.emit({ applicationId });
    await cache.refresh(applicationId);
    facts.deliveriesDue.emit({});
    return result;
  }

  /** Throws what is wrong; returns the URL in its normal form, where one is given. */
  #check(settings: WebhookSettings & { secret?: string | null }, { isUrlRequired }: { isUrlRequired: boolean }): string | undefined {
    const problems = new Problems();
    let url: string | undefined;
    if (settings.url === null || (isUrlRequired && settings.url === undefined))
      problems.add('url', 'expected a URL, got nothing', UserErrorCode.REQUIRED);
    if (typeof settings.url === 'string') {
      const target = this.#target(settings.url);
      if ('problem' in target) problems.add('url', target.problem);
      else url = target.url;
    }
    const isVerificationGone = settings.verification === null || settings.verification === WebhookVerification.NONE;
    if (this.#deps.config.requireVerification && (isVerificationGone || (isUrlRequired && settings.verification === undefined)))
      problems.add('verification', VERIFICATION_REQUIRED, UserErrorCode.REQUIRED);
    checkSettings(settings, problems, this.#deps.compilePayloadQuery);
    checkCredentials(settings, problems, { now: this.#deps.clock.now(), target: (url) => this.#target(url) });
    problems.throwIfAny();
    return url;
  }
}

function refuseTwoAuthorizations({ oauth }: Webhook, headers: readonly Header[]): void {
  if (oauth !== null && headers.some(({ name }) => name.toLowerCase() === 'authorization'))
    refuse('oauth', 'expected no header "authorization" beside it: the token goes there');
}

const VERIFICATION_REQUIRED = 'expected CHALLENGE or CLOUDEVENTS: on this hub every target has to show first that it wants events';

/** Where a webhook will point, and what its target has to pass for that. */
interface Move {
  readonly url: string;
  readonly verification: WebhookVerification;
}

interface VerifiedMove extends Move {
  readonly allowedRatePerMinute: number | null;
}

/** Undefined where both stay as they are. */
function moveOf(webhook: Webhook, url: string | undefined, { verification }: WebhookSettings): Move | undefined {
  const next = {
    url: url ?? webhook.url,
    verification: verification === undefined ? webhook.verification : (verification ?? WebhookVerification.NONE),
  };
  return next.url === webhook.url && next.verification === webhook.verification ? undefined : next;
}

/** The record's fields and the settings they come from. */
const FIELDS = {
  description: 'description',
  eventTypes: 'eventTypes',
  ownRetrySchedule: 'retrySchedule',
  timeoutSeconds: 'timeoutSeconds',
  maxConcurrency: 'maxConcurrency',
  ordering: 'ordering',
  ratePerSecond: 'ratePerSecond',
  filter: 'filter',
  payloadQuery: 'payloadQuery',
  signing: 'signing',
  format: 'format',
} as const satisfies Partial<Record<keyof Webhook, keyof WebhookSettings>>;

/** Settings with the defaults for what is absent or null. */
function settled(settings: WebhookSettings): Pick<Webhook, keyof typeof FIELDS> {
  return {
    description: settings.description ?? null,
    eventTypes: [...new Set(settings.eventTypes ?? DEFAULT_EVENT_TYPES)],
    ownRetrySchedule: settings.retrySchedule ? [...settings.retrySchedule] : null,
    timeoutSeconds: settings.timeoutSeconds ?? DEFAULT_TIMEOUT_SECONDS,
    maxConcurrency: settings.maxConcurrency ?? DEFAULT_MAX_CONCURRENCY,
    ordering: settings.ordering ?? DEFAULT_ORDERING,
    ratePerSecond: settings.ratePerSecond ?? null,
    filter: readFilter(settings.filter ?? null),
    payloadQuery: settings.payloadQuery ?? null,
    signing: [...new Set(settings.signing ?? DEFAULT_SIGNING)],
    format: settings.format ?? WebhookFormat.STANDARD,
  };
}

interface NewSecret {
  readonly scheme: SigningScheme;
  /** What is shown; null where only the hub knows the key. */
  readonly secret: string | null;
  readonly key: Buffer;
}

function makeSecrets(schemes: readonly SigningScheme[], own: string | undefined): NewSecret[] {
  if (own !== undefined && !schemes.includes(SigningScheme.V1))
    refuse('secret', 'expected none: the webhook does not sign with V1, and V1A keys are made by the hub');
  return schemes.map((scheme) => {
    const secret = scheme === SigningScheme.V1 ? (own ?? newSigningSecret()) : null;
    return { scheme, secret, key: secret === null ? newPrivateKey() : keyOf(secret) };
  });
}

function keyOf(secret: string): Buffer {
  const parsed = parseSigningSecret(secret);
  return 'problem' in parsed ? refuse('secret', parsed.problem) : parsed.key;
}

export function refuseUnknownWebhook(id: string): never {
  return refuse('id', `expected the id of a webhook, got ${shown(id)}`, UserErrorCode.NOT_FOUND);
}
