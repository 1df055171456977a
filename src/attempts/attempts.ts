import { attemptRangeOf, idRange, isId } from '../ids';
import type { Database, Tx } from '../store/database';
import { type Page, type PageRequest, readPage } from '../store/page';
import { Attempt } from './attempt';

const COLUMNS = [
  'id',
  'triggered_by',
  'started_at',
  'duration_ms',
  'outcome',
  'status_code',
  'error',
  'url',
  'request_headers',
  'response_headers',
  'response_body',
  'response_truncated',
  'phases',
];

/** In the transaction that moves their deliveries on. */
export async function insertAttempts(tx: Tx, attempts: readonly Attempt[]): Promise<void> {
  await tx.insert(
    'attempts',
    COLUMNS,
    attempts.map((attempt) => [
      attempt.id,
      attempt.trigger,
      attempt.startedAt.getTime(),
      attempt.durationMs,
      attempt.outcome,
      attempt.statusCode,
      attempt.error,
      attempt.url,
      attempt.packedRequestHeaders,
      JSON.stringify(attempt.responseHeaders),
      attempt.responseBody,
      Number(attempt.responseTruncated),
      attempt.phases ? JSON.stringify(attempt.phases) : null,
    ]),
  );
}

export interface AttemptColumns {
  /** False: attempts that are read only for what else they have. */
  readonly hasBodies: boolean;
}

const WHOLE: AttemptColumns = { hasBodies: true };

/** What an attempt has beside the body of its response, by property. */
const SLIM = [
  'id',
  'trigger',
  'startedAt',
  'durationMs',
  'outcome',
  'statusCode',
  'error',
  'url',
  'packedRequestHeaders',
  'responseHeaders',
  'responseTruncated',
  'phases',
].map((property) => `a.${property}`);

/** Reads of the attempt log. */
export class Attempts {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async byId(id: string): Promise<Attempt | null> {
    return isId('att', id) ? this.#database.read.manager.findOneBy(Attempt, { id }) : null;
  }

  async byIds(ids: readonly string[], { hasBodies } = WHOLE): Promise<Attempt[]> {
    const select = this.#database.read.manager.createQueryBuilder(Attempt, 'a').where('a.id IN (:...ids)', { ids });
    return (hasBodies ? select : select.select(SLIM)).getMany();
  }

  /** The same, last to first. */
  async listLatest(deliveryId: string, page: PageRequest, columns = WHOLE): Promise<Page<Attempt>> {
    return readPage(this.#select(deliveryId, columns), { ...page, column: 'a.id', direction: 'DESC' });
  }

  /** The attempts of a delivery, first to last. */
  async list(deliveryId: string, page: PageRequest, columns = WHOLE): Promise<Page<Attempt>> {
    return readPage(this.#select(deliveryId, columns), { ...page, column: 'a.id', direction: 'ASC' });
  }

  #select(deliveryId: string, { hasBodies }: AttemptColumns) {
    const select = this.#database.read.manager
      .createQueryBuilder(Attempt, 'a')
      .where('a.id >= :from AND a.id < :to', attemptRangeOf(deliveryId));
    return hasBodies ? select : select.select(SLIM);
  }
}

/** Where the body of a webhook's test is kept among the bodies of sequence 0, which no event has. */
export function testBodyKey(attemptId: string): string {
  return `test:${attemptId.slice(idRange('att', attemptId).from.length)}`;
}
