import { type Clock, MINUTE, SECOND } from '../clock';
import type { Log } from '../log';
import type { Database } from '../store/database';
import { WakeableLoop } from '../wakeable-loop';
import { openHeaders, plainHeaders, type StoredHeaders, sealedHeaders } from './own-headers';
import type { Seal } from './seal';
import type { Header } from './webhook';

interface Deps {
  readonly database: Database;
  readonly seal: Seal;
  readonly clock: Clock;
  readonly log: Log;
}

const ROUND_MS = 5 * SECOND;
/** An instance that stands still for a while is struck off the list of instances, and is back with its next heartbeat. */
const GONE_AFTER_MS = 1 * MINUTE;
const ROWS_PER_STEP = 200;

interface Row {
  readonly id: string;
  readonly headers: string;
  readonly sealed_headers: string | null;
}

/**
 * Sees to the values of webhooks' own headers being sealed, once all instances can open them. Version 0.1 reads them where
 * they are not sealed, so as long as an instance of it runs beside this one they are stored as it does; when the last has
 * gone, every instance of this version seals what is left, no matter which is first.
 */
export class HeaderSealing {
  readonly #deps: Deps;
  readonly #loop: WakeableLoop;
  #isOn = false;
  #isDone = false;
  #lastSeenAt: number | undefined;

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#loop = new WakeableLoop({
      clock: deps.clock,
      everyMs: ROUND_MS,
      round: () => this.#round(),
      failed: ({ message }) => deps.log.warn({ error: message }, 'headers.not_sealed'),
    });
  }

  /** Once this instance is on the list of instances. */
  async start(): Promise<void> {
    await this.#look();
    this.#loop.wake();
  }

  async stop(): Promise<void> {
    await this.#loop.stop();
  }

  /** Headers as they are to be stored now. */
  toStore(webhookId: string, headers: readonly Header[]): StoredHeaders {
    return this.#isOn ? sealedHeaders(this.#deps.seal, webhookId, headers) : plainHeaders(headers);
  }

  open(webhook: Parameters<typeof openHeaders>[1]): readonly Header[] {
    return openHeaders(this.#deps.seal, webhook);
  }

  async #round(): Promise<void> {
    if (this.#isDone) return;
    await this.#look();
    if (!this.#isOn) return;
    const sealed = await sealStoredHeaders(this.#deps.database, this.#deps.seal, () => this.#loop.isStopping);
    this.#isDone = !this.#loop.isStopping;
    if (sealed > 0) this.#deps.log.info({ webhooks: sealed }, 'headers.sealed');
  }

  async #look(): Promise<void> {
    if (this.#isOn) return;
    const { database, clock } = this.#deps;
    const [row] = await database.read.query<{ older: number }>('SELECT COUNT(*) AS older FROM instances WHERE version IS NULL');
    const now = clock.monotonic();
    if (Number(row?.older ?? 0) > 0) this.#lastSeenAt = now;
    else this.#isOn = this.#lastSeenAt === undefined || now - this.#lastSeenAt >= GONE_AFTER_MS;
  }
}

/**
 * Seals what is stored in the open; returns how many webhooks that were. Each row only as it was read, so that neither a
 * change at the same time nor another instance that does the same gets in the way.
 */
async function sealStoredHeaders(database: Database, seal: Seal, isStopping: () => boolean): Promise<number> {
  let sealed = 0;
  for (let after = ''; !isStopping(); ) {
    const rows = await database.read.query<Row>(
      `SELECT id, headers, sealed_headers FROM webhooks WHERE id > ? AND headers <> '[]' AND headers NOT LIKE ? ORDER BY id LIMIT ${ROWS_PER_STEP}`,
      [after, '%••••%'],
    );
    if (rows.length === 0) break;
    after = rows.at(-1)?.id ?? after;
    sealed += await database.transaction(async (tx) => {
      let changed = 0;
      for (const { id, headers } of rows) {
        const { storedHeaders, sealedHeaders: text } = sealedHeaders(seal, id, JSON.parse(headers) as Header[]);
        changed += await tx.execute('UPDATE webhooks SET headers = ?, sealed_headers = ? WHERE id = ? AND headers = ?', [
          JSON.stringify(storedHeaders),
          text,
          id,
          headers,
        ]);
      }
      return changed;
    });
  }
  return sealed;
}
