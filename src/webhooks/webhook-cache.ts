import { LRUCache } from 'lru-cache';
import { type Clock, SECOND } from '../clock';
import type { Config } from '../config';
import type { Facts } from '../facts';
import { followOthers } from '../follow-others';
import { groupBy } from '../group-by';
import { applicationIdOf, idRange } from '../ids';
import type { Log } from '../log';
import { type Condition, compileCondition } from '../matching/condition';
import { nextTurn } from '../slices';
import type { Database, Queries } from '../store/database';
import type { WakeableLoop } from '../wakeable-loop';
import { type Credentials, openCredentials } from './credentials';
import { openHeaders } from './own-headers';
import type { CompilePayloadQuery, PayloadQuery } from './payload-query';
import type { Seal } from './seal';
import { keyObject, type SigningKey } from './signing-secret';
import { type Ordering, type SigningScheme, Webhook, type WebhookFormat, WebhookStatus, WebhookVerification } from './webhook';

/** A webhook as matching and sending need it. Replaced, never changed. */
export interface LiveWebhook {
  readonly id: string;
  readonly applicationId: string;
  readonly url: string;
  readonly eventTypes: readonly string[];
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly retryDelaysMs: readonly number[];
  readonly timeoutMs: number;
  readonly maxConcurrency: number;
  readonly ordering: Ordering;
  /** Null: unlimited. */
  readonly ratePerSecond: number | null;
  /** Null: every event of its types. */
  readonly condition: Condition | null;
  readonly format: WebhookFormat;
  /** Null: the whole payload is sent. */
  readonly payloadQuery: PayloadQuery | null;
  /** Active, and nothing of its own stands in the way: what is due may be sent. */
  readonly isSending: boolean;
  /** Kept as key objects: `createHmac` with a raw key costs 22 µs on Node 24, with a key object 5. */
  readonly signingKeys: readonly SigningKey[];
  /** False: its target has passed no verification, and this hub requires one. */
  readonly isVerified: boolean;
  readonly credentials: Credentials;
  readonly status: WebhookStatus;
  readonly version: number;
}

/** All webhooks of an application at one version, but for deleted ones. */
export interface Snapshot {
  readonly version: number;
  /** Those that get deliveries: not disabled. */
  readonly receiving: readonly LiveWebhook[];
  readonly byId: ReadonlyMap<string, LiveWebhook>;
}

/** What webhooks go by that say nothing else. */
type CacheSettings = Pick<Config, 'retrySchedule' | 'origin' | 'requireVerification'>;

interface Deps {
  readonly database: Database;
  readonly seal: Seal;
  readonly config: CacheSettings;
  readonly compilePayloadQuery: CompilePayloadQuery;
  readonly clock: Clock;
  readonly log: Log;
  readonly facts: Facts;
}

/** Applications in memory: of more, the one whose webhooks have been asked for least recently is read again when it is needed. */
export const MAX_APPLICATIONS = 20_000;

interface Refreshing {
  readonly now: Promise<Snapshot>;
  /** The read after it, for those who have asked since it began. */
  next: Promise<Snapshot> | undefined;
}

/** Read whole, with their secrets, in one turn of the event loop: about 5 ms. */
const WEBHOOKS_PER_STEP = 100;
/** Of ids and versions alone. */
const HEADS_PER_STEP = 1_000;

/** The version of an application that is gone: no read overtakes it. */
const GONE = Number.MAX_SAFE_INTEGER;

/** The webhooks in memory, an application at a time. The counter row's `version` says whether they are current. */
export class WebhookCache {
  readonly #deps: Deps;
  readonly #loop: WakeableLoop;
  readonly #snapshots: LRUCache<string, Snapshot>;
  readonly #refreshing = new Map<string, Refreshing>();

  constructor(deps: Deps, maxApplications = MAX_APPLICATIONS) {
    this.#deps = deps;
    this.#snapshots = new LRUCache({ max: maxApplications });
    const { facts } = deps;
    this.#loop = followOthers(deps, 'everything', () => this.refreshChanged());
    facts.changedElsewhere.on(({ topic, ids }) => void (topic === 'webhooks' && this.#changedElsewhere(ids)));
    facts.applicationDeleted.on(({ applicationId }) => void this.refresh(applicationId).catch(() => {})); // seen with the next round
  }

  start(): void {
    this.#loop.start();
  }

  stop(): Promise<void> {
    return this.#loop.stop();
  }

  /** What was held up may be sent by now. */
  async #changedElsewhere(applicationIds: readonly string[]): Promise<void> {
    const { log, facts } = this.#deps;
    await this.refreshChanged(applicationIds).catch((error: Error) => log.warn({ error: error.message }, 'webhooks.not_read'));
    facts.deliveriesDue.emit({});
  }

  /** The webhooks at `version`, which the caller has read under the append's lock. */
  async at(queries: Queries, applicationId: string, version: number): Promise<Snapshot> {
    const known = this.#snapshots.get(applicationId);
    if (known?.version === version) return known;
    return this.#load(queries, applicationId, version);
  }

  /** The webhooks of an application as far as they are known here, perhaps not the newest. */
  peek(applicationId: string): Snapshot | undefined {
    return this.#snapshots.get(applicationId);
  }

  /** The same for a transaction that may have changed them: what it reads is not kept, it may be rolled back. */
  async within(tx: Queries, applicationId: string, version: number): Promise<Snapshot> {
    const known = this.#snapshots.get(applicationId);
    return known?.version === version ? known : this.#readAt(tx, applicationId, version);
  }

  /** A webhook as it is known here, read when its application is not. */
  async find(webhookId: string): Promise<LiveWebhook | undefined> {
    return (await this.know(applicationIdOf(webhookId))).byId.get(webhookId);
  }

  /** A webhook as it is stored, past whatever is in memory. */
  async fetch(webhookId: string): Promise<LiveWebhook | undefined> {
    return (await this.refresh(applicationIdOf(webhookId))).byId.get(webhookId);
  }

  /** The webhooks of an application as they are known here; from now on changes by other instances are noticed. */
  async know(applicationId: string): Promise<Snapshot> {
    return this.#snapshots.get(applicationId) ?? this.refresh(applicationId);
  }

  /** Reads what has changed of an application's webhooks. Who asks while it is being read shares the read after it. */
  refresh(applicationId: string): Promise<Snapshot> {
    const running = this.#refreshing.get(applicationId);
    if (running === undefined) return this.#beginRefresh(applicationId);
    const begin = () => this.#beginRefresh(applicationId);
    running.next ??= running.now.then(begin, begin);
    return running.next;
  }

  #beginRefresh(applicationId: string): Promise<Snapshot> {
    const running: Refreshing = { now: this.#refresh(applicationId), next: undefined };
    this.#refreshing.set(applicationId, running);
    const end = () => {
      if (running.next === undefined && this.#refreshing.get(applicationId) === running) this.#refreshing.delete(applicationId);
    };
    running.now.then(end, end);
    return running.now;
  }

  async #refresh(applicationId: string): Promise<Snapshot> {
    const [version] = await this.#versions([applicationId]);
    return this.#load(this.#deps.database.urgentRead, applicationId, version?.version ?? GONE);
  }

  /** Reads again what other instances have changed, of the applications that are known here or of some of these. */
  async refreshChanged(applicationIds: Iterable<string> = this.#snapshots.keys()): Promise<void> {
    const known = [...applicationIds].filter((applicationId) => this.#snapshots.has(applicationId));
    for (let start = 0; start < known.length; start += 500) {
      const part = known.slice(start, start + 500);
      const current = new Map((await this.#versions(part)).map((row) => [row.applicationId, row.version]));
      for (const applicationId of part)
        if (this.#snapshots.peek(applicationId)?.version !== (current.get(applicationId) ?? GONE)) await this.refresh(applicationId);
    }
  }

  async #versions(applicationIds: readonly string[]): Promise<{ applicationId: string; version: number }[]> {
    const { urgentRead: read } = this.#deps.database;
    const { sql, parameters } = read.dialect.oneOf('application_id', applicationIds);
    const rows = await read.query<{ application_id: string; version: number }>(
      `SELECT application_id, version FROM counters WHERE log = 'event' AND ${sql}`,
      parameters,
    );
    return rows.map((row) => ({ applicationId: row.application_id, version: Number(row.version) }));
  }

  async #load(queries: Queries, applicationId: string, version: number): Promise<Snapshot> {
    const snapshot = await this.#readAt(queries, applicationId, version);
    const known = this.#snapshots.peek(applicationId);
    if (known && known.version > version) return snapshot; // a later read has overtaken this one
    this.#snapshots.set(applicationId, snapshot);
    this.#deps.facts.webhooksChanged.emit({ applicationId, snapshot });
    return snapshot;
  }

  /** Those that have not changed since the snapshot that is known are taken from it; the others are read in steps. */
  async #readAt(queries: Queries, applicationId: string, version: number): Promise<Snapshot> {
    const former = this.#snapshots.peek(applicationId)?.byId;
    const heads = await readHeads(queries, applicationId);
    const changed = heads.filter((head) => former?.get(head.id)?.version !== head.version);
    const read = await this.#read(
      queries,
      changed.map(({ id }) => id),
    );
    const webhooks: LiveWebhook[] = [];
    for (const { id } of heads) {
      const webhook = read.get(id) ?? former?.get(id);
      if (webhook) webhooks.push(webhook);
    }
    return {
      version,
      receiving: webhooks.filter(({ status }) => status !== WebhookStatus.DISABLED),
      byId: new Map(webhooks.map((webhook) => [webhook.id, webhook])),
    };
  }

  async #read(queries: Queries, ids: readonly string[]): Promise<Map<string, LiveWebhook>> {
    const webhooks = new Map<string, LiveWebhook>();
    for (let start = 0; start < ids.length; start += WEBHOOKS_PER_STEP) {
      if (start > 0) await nextTurn();
      const records = await queries.manager
        .createQueryBuilder(Webhook, 'w')
        .where('w.id IN (:...ids) AND w.deletedAt IS NULL', { ids: ids.slice(start, start + WEBHOOKS_PER_STEP) })
        .getMany();
      const secrets = await this.#signingKeys(queries, records);
      for (const record of records) {
        webhooks.set(record.id, this.#live(record, secrets.get(record.id) ?? []));
        if (record.payloadQuery !== null) await nextTurn(); // validating a new document takes a millisecond or two
      }
    }
    return webhooks;
  }

  async #signingKeys(queries: Queries, records: readonly Webhook[]): Promise<Map<string, SigningKey[]>> {
    if (records.length === 0) return new Map();
    const { sql, parameters } = queries.dialect.oneOf(
      'webhook_id',
      records.map(({ id }) => id),
    );
    const rows = await queries.query<{ id: string; webhook_id: string; scheme: SigningScheme; sealed: string; expires_at: number | null }>(
      `SELECT id, webhook_id, scheme, sealed, expires_at FROM webhook_secrets WHERE ${sql} ORDER BY created_at DESC, id`,
      parameters,
    );
    const keys = rows.map(({ id, webhook_id: webhookId, scheme, sealed, expires_at }) => {
      const key = keyObject(scheme, this.#deps.seal.open(sealed, id));
      return { webhookId, scheme, key, expiresAt: expires_at === null ? null : Number(expires_at) };
    });
    return groupBy(keys, ({ webhookId }) => webhookId);
  }

  #live(record: Webhook, signingKeys: readonly SigningKey[]): LiveWebhook {
    const { compilePayloadQuery, config } = this.#deps;
    const { retrySchedule: defaultRetryDelaysMs, origin, requireVerification: isVerificationRequired } = config;
    const own = openHeaders(this.#deps.seal, record).map(({ name, value }) => [name.toLowerCase(), value] as const);
    const payloadQuery = record.payloadQuery === null ? null : compilePayloadQuery(record.payloadQuery);
    const isVerified = !isVerificationRequired || record.verification !== WebhookVerification.NONE;
    return {
      id: record.id,
      applicationId: record.applicationId,
      url: record.url,
      eventTypes: record.eventTypes,
      // Web Hooks for Event Delivery 4.1.2: once asked for permission with a name, always send it.
      headers: record.verification === WebhookVerification.CLOUDEVENTS ? [['webhook-request-origin', origin], ...own] : own,
      retryDelaysMs: record.ownRetrySchedule?.map((seconds) => seconds * SECOND) ?? defaultRetryDelaysMs,
      timeoutMs: record.timeoutSeconds * SECOND,
      maxConcurrency: record.maxConcurrency,
      ordering: record.ordering,
      ratePerSecond: slower(record.ratePerSecond, record.allowedRatePerMinute),
      condition: conditionOf(record.filter),
      format: record.format,
      payloadQuery,
      isSending: record.status === WebhookStatus.ACTIVE && isVerified && (payloadQuery?.problem ?? null) === null,
      signingKeys,
      isVerified,
      credentials: openCredentials(record, this.#deps.seal),
      status: record.status,
      version: record.version,
    };
  }
}

interface Head {
  readonly id: string;
  readonly version: number;
}

/** The webhooks of an application, in the order of their ids, at what versions they are. */
async function readHeads(queries: Queries, applicationId: string): Promise<Head[]> {
  const { from, to } = idRange('whk', applicationId);
  const heads: Head[] = [];
  for (let after = from; ; await nextTurn()) {
    const rows = await queries.query<Head>(
      `SELECT id, version FROM webhooks WHERE id > ? AND id < ? AND deleted_at IS NULL ORDER BY id LIMIT ${HEADS_PER_STEP}`,
      [after, to],
    );
    for (const { id, version } of rows) heads.push({ id, version: Number(version) });
    const last = rows.at(-1);
    if (last === undefined || rows.length < HEADS_PER_STEP) return heads;
    after = last.id;
  }
}

/** It was checked when it was saved; should a later version refuse it all the same, nothing meets it rather than everything. */
function conditionOf(filter: unknown): Condition | null {
  if (filter === null) return null;
  const compiled = compileCondition(filter);
  return 'condition' in compiled ? compiled.condition : () => false;
}

/** Requests a second: the webhook's own limit, or what its receiver has allowed, whichever is less. */
function slower(ratePerSecond: number | null, allowedRatePerMinute: number | null): number | null {
  if (allowedRatePerMinute === null) return ratePerSecond;
  return Math.min(ratePerSecond ?? Number.POSITIVE_INFINITY, allowedRatePerMinute / 60);
}
