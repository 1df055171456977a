import { LRUCache } from 'lru-cache';
import { refuseUnknown } from '../applications/applications';
import type { Clock } from '../clock';
import { Problems, refuse, shown, UserErrorCode } from '../errors';
import type { Facts } from '../facts';
import { eventTypeProblem, foreignTypeProblem } from '../matching/event-type';
import type { Database, Tx } from '../store/database';
import { type Page, type PageRequest, readPage } from '../store/page';
import type { WebhookCache } from '../webhooks/webhook-cache';
import { EventType } from './event-type-record';
import type { CheckAllowance } from './schema-pool';
import type { CheckResult, SchemaValidator } from './schema-validator';

export interface EventTypeRegistration {
  readonly name: string;
  /** Omitted: unchanged; null: none. */
  readonly description?: string | null;
  readonly schema?: unknown;
}

/** What publishing needs to know of the types of an application. */
export interface KnownType {
  readonly isArchived: boolean;
  /** Null: it has no schema. A promise where checking may take long. */
  readonly check: ((payload: unknown, text: string, allowance: CheckAllowance) => CheckResult | Promise<CheckResult>) | null;
}

interface Deps {
  readonly database: Database;
  readonly clock: Clock;
  readonly schemas: SchemaValidator;
  /** Notices when another instance changes something of an application that it knows. */
  readonly webhooks: Pick<WebhookCache, 'know'>;
  readonly facts: Facts;
}

type Catalog = ReadonlyMap<string, KnownType>;

const MAX_DESCRIPTION_CHARS = 2_000;
const MAX_TYPES = 1_000;
const MAX_CATALOGS = 10_000;
/** Of all schemas of an application together, as JSON. */
const MAX_SCHEMA_CHARS_PER_APPLICATION = 4 * 1024 * 1024;

/**
 * The event types of each application. Registering one is optional; a registered one may carry a schema, and an archived
 * one takes no more events. The types are kept in memory until the counter row's `version` says that something of the
 * application has changed; their schemas are compiled when they are first used, and kept by their text.
 */
export class EventTypes {
  readonly #deps: Deps;
  readonly #catalogs = new LRUCache<string, Catalog>({ max: MAX_CATALOGS });
  #generation = 0;

  constructor(deps: Deps) {
    this.#deps = deps;
    deps.facts.webhooksChanged.on(({ applicationId }) => this.forget(applicationId));
  }

  /** Registers a type, or changes one that is registered; an archived one is brought back. */
  async register(applicationId: string, registration: EventTypeRegistration): Promise<EventType> {
    await this.#check(applicationId, registration);
    const { name, description, schema } = registration;
    return this.#changing(applicationId, async (tx) => {
      const now = new Date(this.#deps.clock.now());
      const known = await tx.manager.findOneBy(EventType, { applicationId, name });
      if (known === null) await refuseBeyondMost(tx, applicationId);
      if (schema !== undefined && schema !== null) await refuseTooMuchSchema(tx, applicationId, name, schema);
      const eventType = known ?? Object.assign(new EventType(), { applicationId, name, description: null, schema: null, createdAt: now });
      if (description !== undefined) eventType.description = description;
      if (schema !== undefined) eventType.schema = schema;
      eventType.updatedAt = now;
      eventType.archivedAt = null;
      if (known === null) await insert(tx, eventType);
      else await tx.manager.update(EventType, { applicationId, name }, columnsOf(eventType) as never);
      return eventType;
    });
  }

  /** Refuses further events of the type. */
  async archive(applicationId: string, name: string): Promise<EventType> {
    return this.#changing(applicationId, async (tx) => {
      const eventType = eventTypeProblem(name) === null ? await tx.manager.findOneBy(EventType, { applicationId, name }) : null;
      if (eventType === null) return refuse('name', `expected a registered event type, got ${shown(name)}`, UserErrorCode.NOT_FOUND);
      eventType.archivedAt ??= new Date(this.#deps.clock.now());
      await tx.manager.update(EventType, { applicationId, name }, { archivedAt: eventType.archivedAt });
      return eventType;
    });
  }

  /** By name. */
  async list(applicationId: string, page: PageRequest): Promise<Page<EventType>> {
    const select = this.#deps.database.read.manager
      .createQueryBuilder(EventType, 't')
      .where('t.applicationId = :applicationId', { applicationId });
    return readPage(select, { ...page, column: 't.name', direction: 'ASC' });
  }

  /** A registered type as publishing sees it; undefined for one that nobody registered. */
  async find(applicationId: string, name: string): Promise<KnownType | undefined> {
    const catalog = this.#catalogs.get(applicationId) ?? (await this.#load(applicationId));
    return catalog.get(name);
  }

  /** The webhooks or types of an application were changed by somebody. */
  forget(applicationId: string): void {
    this.#generation++;
    this.#catalogs.delete(applicationId);
  }

  async #load(applicationId: string): Promise<Catalog> {
    await this.#deps.webhooks.know(applicationId);
    const generation = this.#generation;
    const rows = await this.#deps.database.read.query<TypeRow>(
      'SELECT name, archived_at, payload_schema FROM event_types WHERE application_id = ?',
      [applicationId],
    );
    const catalog = new Map(rows.map((row) => [row.name, this.#known(applicationId, row)]));
    if (generation !== this.#generation) return catalog; // changed while it was read: not kept
    this.#catalogs.set(applicationId, catalog);
    return catalog;
  }

  async #check(applicationId: string, { name, description, schema }: EventTypeRegistration): Promise<void> {
    const problems = new Problems();
    const problem = foreignTypeProblem(name);
    if (problem) problems.add('name', problem);
    if (description && description.length > MAX_DESCRIPTION_CHARS)
      problems.add(
        'description',
        `expected at most ${MAX_DESCRIPTION_CHARS} characters, got ${description.length}`,
        UserErrorCode.TOO_LARGE,
      );
    const schemaProblem = (schema ?? null) === null ? null : await this.#deps.schemas.problemOf(applicationId, schema);
    if (schemaProblem !== null) problems.add('schema', schemaProblem);
    problems.throwIfAny();
  }

  #known(applicationId: string, { archived_at, payload_schema: schema }: TypeRow): KnownType {
    const { schemas } = this.#deps;
    return {
      isArchived: archived_at !== null,
      check: schema === null ? null : (payload, text, allowance) => schemas.check(applicationId, schema, { payload, text, allowance }),
    };
  }

  async #changing(applicationId: string, work: (tx: Tx) => Promise<EventType>): Promise<EventType> {
    const eventType = await this.#deps.database.transaction(async (tx) => {
      const known = await tx.execute("UPDATE counters SET version = version + 1 WHERE application_id = ? AND log = 'event'", [
        applicationId,
      ]);
      if (known === 0) refuseUnknown(applicationId);
      return work(tx);
    });
    this.forget(applicationId);
    this.#deps.facts.webhooksEdited.emit({ applicationId });
    return eventType;
  }
}

interface TypeRow {
  readonly name: string;
  readonly archived_at: number | null;
  readonly payload_schema: string | null;
}

async function refuseBeyondMost(tx: Tx, applicationId: string): Promise<void> {
  const [row] = await tx.query<{ types: number }>('SELECT COUNT(*) AS types FROM event_types WHERE application_id = ?', [applicationId]);
  if (Number(row?.types ?? 0) >= MAX_TYPES)
    refuse('name', `expected at most ${MAX_TYPES} event types in an application`, UserErrorCode.LIMIT_REACHED);
}

async function refuseTooMuchSchema(tx: Tx, applicationId: string, name: string, schema: unknown): Promise<void> {
  const [row] = await tx.query<{ chars: number | null }>(
    'SELECT SUM(LENGTH(payload_schema)) AS chars FROM event_types WHERE application_id = ? AND name <> ?',
    [applicationId, name],
  );
  const chars = Number(row?.chars ?? 0) + JSON.stringify(schema).length;
  if (chars > MAX_SCHEMA_CHARS_PER_APPLICATION)
    refuse(
      'schema',
      `expected the schemas of an application to have at most ${MAX_SCHEMA_CHARS_PER_APPLICATION} characters together, got ${chars}`,
      UserErrorCode.LIMIT_REACHED,
    );
}

function columnsOf({ description, schema, updatedAt, archivedAt }: EventType) {
  return { description, schema, updatedAt, archivedAt };
}

async function insert(tx: Tx, eventType: EventType): Promise<void> {
  await tx.manager.insert(EventType, eventType as never); // TypeORM's type for partial entities has no place for `unknown`
}
