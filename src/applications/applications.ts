import { type Clock } from '../clock';
import { InputRefused, Problems, refuse, shown, UserErrorCode } from '../errors';
import type { Facts } from '../facts';
import { isId, newApplicationId } from '../ids';
import { MAX_JSON_DEPTH, minified } from '../json';
import { keyProblem } from '../key';
import type { Database, Queries, Tx } from '../store/database';
import { type Page, type PageRequest, readPage } from '../store/page';
import { Application } from './application';

export interface ApplicationCreation {
  readonly key?: string | null;
  readonly name: string;
  readonly metadata?: unknown;
  /** Null: the hub's default. */
  readonly retentionDays?: number | null;
}

export type ApplicationChange = Partial<ApplicationCreation>;

interface Deps {
  readonly database: Database;
  readonly clock: Clock;
  readonly facts: Facts;
}

const MAX_METADATA_CHARS = 64 * 1024;
const MAX_RETENTION_DAYS = 3_650;

/** The tenants. */
export class Applications {
  readonly #deps: Deps;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  async create(creation: ApplicationCreation): Promise<Application> {
    check(creation);
    const { database, clock } = this.#deps;
    const now = new Date(clock.now());
    const application = Object.assign(new Application(), {
      id: newApplicationId(),
      key: creation.key ?? null,
      name: creation.name,
      metadata: creation.metadata ?? null,
      retentionDays: creation.retentionDays ?? null,
      createdAt: now,
      updatedAt: now,
      deletedAt: null,
    });
    await refusingTakenKey(database, creation.key, () =>
      database.transaction(async (tx) => {
        await tx.manager.insert(Application, application as never); // TypeORM's type for partial entities has no place for `unknown`
        await tx.insert(
          'counters',
          ['application_id', 'log', 'last_sequence', 'version'],
          [
            [application.id, 'event', 0, 0],
            [application.id, 'update', 0, 0],
          ],
        );
      }),
    );
    return application;
  }

  /** An omitted field stays, null clears it. */
  async update(id: string, change: ApplicationChange): Promise<Application> {
    check(change);
    const { database, clock } = this.#deps;
    return refusingTakenKey(database, change.key, () =>
      database.transaction(async (tx) => {
        const application = isId('app', id) ? await find(tx, { id }) : null;
        if (application === null) return refuseUnknown(id, 'id');
        if (change.key !== undefined) application.key = change.key;
        if (change.name !== undefined && change.name !== null) application.name = change.name;
        if (change.metadata !== undefined) application.metadata = change.metadata;
        if (change.retentionDays !== undefined) application.retentionDays = change.retentionDays;
        application.updatedAt = new Date(clock.now());
        const { key, name, metadata, retentionDays, updatedAt } = application;
        await tx.manager.update(Application, { id }, { key, name, metadata: metadata as never, retentionDays, updatedAt });
        return application;
      }),
    );
  }

  /** Its keys end at once, nothing of it is sent or shown any more, its key is free again; the rows go in the background. */
  async delete(id: string): Promise<Application> {
    const { database, clock, facts } = this.#deps;
    const application = await database.transaction(async (tx) => {
      const found = isId('app', id) ? await find(tx, { id }) : null;
      if (found === null) return refuseUnknown(id, 'id');
      const now = clock.now();
      await tx.execute('UPDATE applications SET deleted_at = ?, unique_key = NULL WHERE id = ?', [now, id]);
      await tx.execute('UPDATE api_keys SET revoked_at = ? WHERE application_id = ? AND revoked_at IS NULL', [now, id]);
      await tx.execute('UPDATE webhooks SET deleted_at = ?, version = version + 1 WHERE application_id = ? AND deleted_at IS NULL', [
        now,
        id,
      ]);
      await tx.execute('DELETE FROM counters WHERE application_id = ?', [id]);
      return found;
    });
    facts.applicationDeleted.emit({ applicationId: id });
    return application;
  }

  async byId(id: string): Promise<Application | null> {
    return isId('app', id) ? find(this.#deps.database.read, { id }) : null;
  }

  async byKey(key: string): Promise<Application | null> {
    return find(this.#deps.database.read, { key });
  }

  /** In the order of their ids, which are random. */
  async list(page: PageRequest): Promise<Page<Application>> {
    const select = this.#deps.database.read.manager.createQueryBuilder(Application, 'a').where('a.deletedAt IS NULL');
    return readPage(select, { ...page, column: 'a.id', direction: 'ASC' });
  }
}

/** For whatever names an application that is not there; `field` is its place in the input. */
export function refuseUnknown(id: string, field = 'applicationId'): never {
  return refuse(field, `expected the id of an application, got ${shown(id)}`, UserErrorCode.NOT_FOUND);
}

async function find(queries: Queries | Tx, where: { id: string } | { key: string }): Promise<Application | null> {
  const application = await queries.manager.findOneBy(Application, where);
  return application?.deletedAt === null ? application : null;
}

function check(given: ApplicationChange): void {
  const problems = new Problems();
  if (given.name !== undefined && (given.name === null || given.name.trim() === '' || given.name.length > 255))
    problems.add('name', `expected 1 to 255 characters, got ${given.name === null ? 'null' : `${given.name.length}`}`);
  const problem = typeof given.key === 'string' ? keyProblem(given.key) : null;
  if (problem) problems.add('key', problem);
  const { retentionDays } = given;
  if (typeof retentionDays === 'number' && !(retentionDays >= 1 && retentionDays <= MAX_RETENTION_DAYS))
    problems.add('retentionDays', `expected 1 to ${MAX_RETENTION_DAYS} days, got ${retentionDays}`);
  const metadata = minified(given.metadata);
  if (metadata === null) problems.add('metadata', `expected JSON of at most ${MAX_JSON_DEPTH} levels, got more`, UserErrorCode.TOO_LARGE);
  else if (metadata !== undefined && metadata.length > MAX_METADATA_CHARS)
    problems.add('metadata', `expected at most ${MAX_METADATA_CHARS} characters of JSON, got ${metadata.length}`, UserErrorCode.TOO_LARGE);
  problems.throwIfAny();
}

/** The unique index judges, so that two creations at once cannot both win. */
async function refusingTakenKey<T>(database: Database, key: string | null | undefined, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof InputRefused) && database.dialect.classify(error) === 'duplicate')
      return refuse('key', `${shown(key)} is the key of another application`, UserErrorCode.TAKEN);
    throw error;
  }
}
