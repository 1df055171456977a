import { AttemptTrigger } from '../attempts/attempt';
import type { Clock } from '../clock';
import { refuse, shown, UserErrorCode } from '../errors';
import type { Facts } from '../facts';
import { isId } from '../ids';
import type { Database, Tx } from '../store/database';
import type { Page, PageRequest, SearchAllowance } from '../store/page';
import { markCancelled } from './cancel-rows';
import { Delivery, DeliveryStatus } from './delivery';
import { listDeliveries } from './search';
import { selectUpdates } from './select-updates';
import type { DeliverySelection } from './selection';
import { appendUpdates, type LoggedUpdate } from './update-log';

interface Deps {
  readonly database: Database;
  readonly clock: Clock;
  readonly instanceId: string;
  readonly facts: Facts;
}

/** Reads of deliveries, and what people may do to one. */
export class Deliveries {
  readonly #deps: Deps;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  async byId(id: string): Promise<Delivery | null> {
    return isId('dlv', id) ? this.#deps.database.read.manager.findOneBy(Delivery, { id }) : null;
  }

  async byIds(ids: readonly string[]): Promise<Delivery[]> {
    return this.#deps.database.read.manager.createQueryBuilder(Delivery, 'd').where('d.id IN (:...ids)', { ids }).getMany();
  }

  /** Newest event first. */
  async list(applicationId: string, selection: DeliverySelection, page: PageRequest, allowance: SearchAllowance): Promise<Page<Delivery>> {
    return listDeliveries(this.#deps.database.read, applicationId, selection, page, allowance);
  }

  /** Those of an application's updates that are selected. */
  async selectUpdates(selection: DeliverySelection, updates: readonly LoggedUpdate[]): Promise<readonly LoggedUpdate[]> {
    return selectUpdates(this.#deps.database.read, selection, updates);
  }

  /**
   * Makes a new attempt due now, whatever became of the earlier ones; the `webhook-id` stays. It is an extra: where it
   * fails, the next automatic attempt is due when it was. One that is due or being sent already is left to that attempt,
   * one whose webhook is paused or disabled waits for it.
   */
  async retry(id: string): Promise<Delivery> {
    const { database, clock, facts } = this.#deps;
    const { delivery, updates } = await database.transaction(async (tx) => {
      const found = await lock(tx, id);
      if (found.owner !== null && (found.owner !== '' || (await isDue(tx, id)))) return { delivery: found, updates: undefined };
      await refuseDeletedWebhook(tx, found.webhookId);
      await refuseRedactedEvent(tx, found);
      found.status = found.attemptCount === 0 ? DeliveryStatus.PENDING : DeliveryStatus.RETRYING;
      found.owner = '';
      found.dueAt = new Date(clock.now());
      found.nextTrigger = AttemptTrigger.MANUAL;
      found.completedAt = null;
      await tx.execute(
        `UPDATE deliveries SET automatic_due_at = due_at, status = ?, owner = '', due_at = ${tx.dialect.now}, next_trigger = ?, completed_at = NULL WHERE id = ?`,
        [found.status, found.nextTrigger, id],
      );
      return { delivery: found, updates: await appendUpdates(tx, [updateOf(found, clock.now())]) };
    });
    if (updates) {
      facts.updatesLogged.emit(updates);
      facts.deliveriesDue.emit({});
    }
    return delivery;
  }

  /** Stops a delivery that is not finished. A request that is under way still ends, and is recorded. */
  async cancel(id: string): Promise<Delivery> {
    const { database, clock, facts, instanceId } = this.#deps;
    let isElsewhere = false;
    const { delivery, updates } = await database.transaction(async (tx) => {
      const found = await lock(tx, id);
      if (found.status === DeliveryStatus.CANCELLED) return { delivery: found, updates: undefined };
      if (found.status === DeliveryStatus.SUCCEEDED || found.status === DeliveryStatus.FAILED)
        refuse('id', `expected a delivery that is not finished; this one has ${found.status}`, UserErrorCode.CONFLICT);
      isElsewhere = found.owner !== null && found.owner !== '' && found.owner !== instanceId;
      if (isElsewhere) await tellOwner(tx, found);
      found.status = DeliveryStatus.CANCELLED;
      found.owner = null;
      found.dueAt = null;
      found.nextTrigger = null;
      found.completedAt = new Date(clock.now());
      await markCancelled(tx, [id], found.completedAt.getTime());
      return { delivery: found, updates: await appendUpdates(tx, [updateOf(found, clock.now())]) };
    });
    facts.deliveriesCancelled.emit({ deliveryIds: [id] });
    if (isElsewhere) facts.cancellationsStored.emit();
    if (updates) facts.updatesLogged.emit(updates);
    return delivery;
  }
}

async function lock(tx: Tx, id: string): Promise<Delivery> {
  const unknown = () => refuse('id', `expected the id of a delivery, got ${shown(id)}`, UserErrorCode.NOT_FOUND);
  if (!isId('dlv', id)) return unknown();
  await tx.query(`SELECT id FROM deliveries WHERE id = ? ${tx.dialect.forUpdate}`, [id]);
  return (await tx.manager.findOneBy(Delivery, { id })) ?? unknown();
}

async function isDue(tx: Tx, id: string): Promise<boolean> {
  const [due] = await tx.query(`SELECT id FROM deliveries WHERE id = ? AND due_at <= ${tx.dialect.now}`, [id]);
  return due !== undefined;
}

/** The instance that has it in memory drops it, unless its request is under way. */
async function tellOwner(tx: Tx, { id, owner }: Delivery): Promise<void> {
  await tx.execute(`${tx.dialect.insertIgnore} INTO cancellations (delivery_id, owner) VALUES (?, ?)`, [id, owner]);
}

async function refuseDeletedWebhook(tx: Tx, webhookId: string): Promise<void> {
  const [live] = await tx.query('SELECT id FROM webhooks WHERE id = ? AND deleted_at IS NULL', [webhookId]);
  if (live === undefined)
    refuse('id', 'expected a delivery whose webhook exists; the webhook of this one has been deleted', UserErrorCode.CONFLICT);
}

async function refuseRedactedEvent(tx: Tx, { applicationId, eventSequence }: Delivery): Promise<void> {
  const [redacted] = await tx.query('SELECT sequence FROM events WHERE application_id = ? AND sequence = ? AND redacted_at IS NOT NULL', [
    applicationId,
    eventSequence,
  ]);
  if (redacted !== undefined)
    refuse('id', 'expected a delivery whose event has its payload; that of this one has been redacted', UserErrorCode.CONFLICT);
}

function updateOf(delivery: Delivery, at: number) {
  return {
    deliveryId: delivery.id,
    eventType: delivery.eventType,
    status: delivery.status,
    attemptNumber: 0,
    at,
    createdAt: delivery.createdAt.getTime(),
    delivery,
  };
}
