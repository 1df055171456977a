import { LRUCache } from 'lru-cache';
import { refuseUnknown } from '../applications/applications';
import type { Clock } from '../clock';
import { Problems, refuse, shown, UserErrorCode } from '../errors';
import type { Facts } from '../facts';
import { eventTypeProblem, foreignTypeProblem } from '../matching/event-type';
import type { Database, Queries, Tx } from '../store/database';
import { type Page, type PageRequest, readPage, totalOf } from '../store/page';
import type { WebhookCache } from '../webhooks/webhook-cache';
import { EventType } from './event-type-record';
import { payloadText } from './publish';
import { CheckAllowance } from './schema-pool';
import type { CheckResult, SchemaValidator } from './schema-validator';
import { countSeenAlone, readSeen, readSeenAfter, type SeenType, type SeenTypes } from './seen-types';

export interface EventTypeRegistration {
  readonly name: string;
  /** Omitted: unchanged; null: none. */
  readonly description?: string | null;
  readonly schema?: unknown;
  readonly examples?: readonly unknown[] | null;
}

/** Which types to list. */
export interface TypeSelection {
  /** Those too that events have and nobody has registered. */
  readonly isSeenToo: boolean;
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
  /** Which types events have. */
  readonly seen: Pick<SeenTypes, 'flush'>;
  readonly facts: Facts;
}

type Catalog = ReadonlyMap<string, KnownType>;

const MAX_DESCRIPTION_CHARS = 2_000;
const MAX_TYPES = 1_000;
const MAX_CATALOGS = 10_000;
/** Of all schemas of an application together, as JSON. */
const MAX_SCHEMA_CHARS_PER_APPLICATION = 4 * 1024 * 1024;
const MAX_EXAMPLES_PER_TYPE = 10;
/** Of the examples of a type together, as JSON. */
const MAX_EXAMPLE_CHARS_PER_TYPE = 64 * 1024;
/** Of all examples of an application together. */
const MAX_EXAMPLE_CHARS_PER_APPLICATION = 4 * 1024 * 1024;

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
    const texts = await this.#check(applicationId, registration);
    const { name, description, schema } = registration;
    const checked = await this.#checkExamples(applicationId, registration, texts);
    return this.#changing(applicationId, async (tx) => {
      const now = new Date(this.#deps.clock.now());
      const known = await tx.manager.findOneBy(EventType, { applicationId, name });
      if (known === null) await refuseBeyondMost(tx, applicationId);
      if (schema !== undefined && schema !== null) await refuseTooMuch(tx, applicationId, name, 'schema', JSON.stringify(schema));
      if (texts) await refuseTooMuch(tx, applicationId, name, 'examples', listOf(texts) ?? '');
      const eventType =
        known ??
        Object.assign(new EventType(), { applicationId, name, description: null, schema: null, examplesText: null, createdAt: now });
      if (checked !== undefined && fingerprintOf(known) !== checked)
        refuse('name', 'the type has been registered by somebody else meanwhile: try again', UserErrorCode.CONFLICT);
      if (description !== undefined) eventType.description = description;
      if (schema !== undefined) eventType.schema = schema;
      if (texts !== undefined) eventType.examplesText = listOf(texts);
      eventType.updatedAt = now;
      eventType.archivedAt = null;
      if (known === null) await insert(tx, eventType);
      else await tx.manager.update(EventType, { applicationId, name }, columnsOf(eventType) as never);
      return withLastSeen(tx, eventType);
    });
  }

  /** Refuses further events of the type. */
  async archive(applicationId: string, name: string): Promise<EventType> {
    return this.#changing(applicationId, async (tx) => {
      const eventType = eventTypeProblem(name) === null ? await tx.manager.findOneBy(EventType, { applicationId, name }) : null;
      if (eventType === null) return refuse('name', `expected a registered event type, got ${shown(name)}`, UserErrorCode.NOT_FOUND);
      eventType.archivedAt ??= new Date(this.#deps.clock.now());
      await tx.manager.update(EventType, { applicationId, name }, { archivedAt: eventType.archivedAt });
      return withLastSeen(tx, eventType);
    });
  }

  /** By name. */
  async list(applicationId: string, page: PageRequest, { isSeenToo }: TypeSelection): Promise<Page<EventType>> {
    const { database, seen } = this.#deps;
    await seen.flush();
    const { read } = database;
    const select = read.manager.createQueryBuilder(EventType, 't').where('t.applicationId = :applicationId', { applicationId });
    const registered = await readPage(select, { ...page, column: 't.name', direction: 'ASC' });
    const others = isSeenToo ? await readSeenAfter(read, applicationId, page.after ?? '', page.first + 1) : [];
    const names = new Set(registered.rows.map(({ name }) => name));
    const all = [...registered.rows, ...others.filter(({ name }) => !names.has(name)).map((one) => seenOnly(applicationId, one))];
    // Beyond its last row there may be registered ones that were not read.
    const end = registered.hasNextPage ? (registered.rows.at(-1)?.name ?? '') : undefined;
    const known = all.sort(byName).filter(({ name }) => end === undefined || name <= end);
    const rows = known.slice(0, page.first);
    const seenOf = new Map(
      (
        await readSeen(
          read,
          applicationId,
          rows.map(({ name }) => name),
        )
      ).map((one) => [one.name, one.lastSeenAt]),
    );
    for (const row of rows) row.lastSeenAt = seenOf.get(row.name) ?? null;
    const count: Page<EventType>['count'] = async (allowance) => {
      const { count: own, isCapped } = await registered.count(allowance);
      const beside = isSeenToo ? await countSeenAlone(read, applicationId, allowance) : 0;
      const total = totalOf(own + beside);
      return { count: total.count, isCapped: isCapped || total.isCapped };
    };
    return { rows, hasNextPage: registered.hasNextPage || known.length > page.first, count };
  }

  /** Registered, or seen; null where it is neither. */
  async byName(applicationId: string, name: string): Promise<EventType | null> {
    if (eventTypeProblem(name) !== null) return null;
    const { database, seen } = this.#deps;
    await seen.flush();
    const registered = await database.read.manager.findOneBy(EventType, { applicationId, name });
    if (registered !== null) return withLastSeen(database.read, registered);
    const [found] = await readSeen(database.read, applicationId, [name]);
    return found === undefined ? null : seenOnly(applicationId, found);
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

  /** Returns the examples as text, where some are given: null for none. */
  async #check(
    applicationId: string,
    { name, description, schema, examples }: EventTypeRegistration,
  ): Promise<string[] | null | undefined> {
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
    const texts = examples && exampleTexts(examples, problems);
    problems.throwIfAny();
    return texts;
  }

  /**
   * Examples fit the schema, whichever of the two is new. Returns what was known of the type where that was part of the check.
   * @throws InputRefused
   */
  async #checkExamples(
    applicationId: string,
    { name, schema: given }: EventTypeRegistration,
    texts: string[] | null | undefined,
  ): Promise<string | undefined> {
    if (texts === null || (texts === undefined && (given ?? null) === null)) return undefined;
    const isPartStored = texts === undefined || given === undefined;
    const known = isPartStored ? await this.#deps.database.read.manager.findOneBy(EventType, { applicationId, name }) : null;
    const schema = given === undefined ? (known?.schema ?? null) : given;
    const examples = texts ?? (known?.examples ?? []).map((example) => JSON.stringify(example));
    const problems = new Problems();
    const [allowance, text] = [new CheckAllowance(), schema === null ? null : JSON.stringify(schema)];
    for (const [index, example] of examples.entries()) {
      const result =
        text === null
          ? null
          : await this.#deps.schemas.check(applicationId, text, { payload: JSON.parse(example), text: example, allowance });
      if (result === null) continue;
      if (texts) {
        problems.add(['examples', String(index), ...('path' in result ? result.path : [])], `does not fit the schema: ${misfit(result)}`);
        continue;
      }
      problems.add('schema', `expected a schema that the examples fit, which are stored: ${misfit(result)}; give others, or null`);
      break;
    }
    problems.throwIfAny();
    return isPartStored ? fingerprintOf(known) : undefined;
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

const KEPT = {
  schema: { column: 'payload_schema', words: 'schemas', most: MAX_SCHEMA_CHARS_PER_APPLICATION },
  examples: { column: 'examples', words: 'examples', most: MAX_EXAMPLE_CHARS_PER_APPLICATION },
} as const;

async function refuseTooMuch(tx: Tx, applicationId: string, name: string, field: keyof typeof KEPT, text: string): Promise<void> {
  const { column, words, most } = KEPT[field];
  const [row] = await tx.query<{ chars: number | null }>(
    `SELECT SUM(LENGTH(${column})) AS chars FROM event_types WHERE application_id = ? AND name <> ?`,
    [applicationId, name],
  );
  const chars = Number(row?.chars ?? 0) + text.length;
  if (chars > most)
    refuse(
      field,
      `expected the ${words} of an application to have at most ${most} characters together, got ${chars}`,
      UserErrorCode.LIMIT_REACHED,
    );
}

/** Each as it came. */
function exampleTexts(examples: readonly unknown[], problems: Problems): string[] {
  if (examples.length > MAX_EXAMPLES_PER_TYPE) {
    problems.add('examples', `expected at most ${MAX_EXAMPLES_PER_TYPE}, got ${examples.length}`, UserErrorCode.TOO_LARGE);
    return [];
  }
  const texts = examples.map((example, index) => payloadText(example, problems, ['examples', String(index)]));
  const chars = texts.reduce((sum, text) => sum + text.length, 0);
  if (chars > MAX_EXAMPLE_CHARS_PER_TYPE)
    problems.add(
      'examples',
      `expected at most ${MAX_EXAMPLE_CHARS_PER_TYPE} characters of JSON together, got ${chars}`,
      UserErrorCode.TOO_LARGE,
    );
  return texts;
}

function listOf(texts: readonly string[] | null): string | null {
  return texts === null || texts.length === 0 ? null : `[${texts.join(',')}]`;
}

/** What a check of the examples went by. */
function fingerprintOf(known: EventType | null): string {
  return JSON.stringify([known?.schema ?? null, known?.examplesText ?? null]);
}

function misfit(result: Exclude<CheckResult, null>): string {
  if ('unusable' in result) return `the schema is no longer usable: ${result.unusable}`;
  return 'unchecked' in result ? `it could not be checked: ${result.unchecked}` : result.message;
}

function seenOnly(applicationId: string, { name, firstSeenAt, lastSeenAt }: SeenType): EventType {
  const parts = { applicationId, name, description: null, schema: null, examplesText: null, isSeenOnly: true };
  return Object.assign(new EventType(), { ...parts, createdAt: firstSeenAt, updatedAt: firstSeenAt, archivedAt: null, lastSeenAt });
}

async function withLastSeen(queries: Queries, eventType: EventType): Promise<EventType> {
  const [found] = await readSeen(queries, eventType.applicationId, [eventType.name]);
  eventType.lastSeenAt = found?.lastSeenAt ?? null;
  return eventType;
}

const byName = (one: EventType, other: EventType) => (one.name < other.name ? -1 : 1);

function columnsOf({ description, schema, examplesText, updatedAt, archivedAt }: EventType) {
  return { description, schema, examplesText, updatedAt, archivedAt };
}

async function insert(tx: Tx, eventType: EventType): Promise<void> {
  await tx.manager.insert(EventType, eventType as never); // TypeORM's type for partial entities has no place for `unknown`
}
