import { type Clock, SECOND } from '../../clock';
import { releaseOwner } from '../../deliveries/release-rows';
import type { Facts } from '../../facts';
import type { Log } from '../../log';
import type { Database } from '../../store/database';
import { WakeableLoop } from '../../wakeable-loop';
import type { Membership } from './membership';
import { owners } from './owners';
import { dropCancellations, liveInstances, register, signOff } from './roll';

interface Deps {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  readonly membership: Membership;
  readonly facts: Facts;
}

const HEARTBEAT_MS = 3 * SECOND;

/**
 * Ownership is per instance: as long as its heartbeat is fresh, everything it owns is its own, without a write per
 * delivery. With each beat an instance also looks at the others and releases what the dead ones owned.
 */
export class Heartbeat {
  readonly #deps: Deps;
  readonly #loop: WakeableLoop;

  constructor(deps: Deps) {
    this.#deps = deps;
    const { clock, log, membership } = deps;
    this.#loop = new WakeableLoop({
      clock,
      everyMs: HEARTBEAT_MS,
      round: async () => {
        await this.#beat();
        await this.#rescue();
      },
      failed: ({ message }) => log.warn({ error: message, isLeaseHeld: membership.isLeaseHeld() }, 'heartbeat.failed'),
    });
  }

  async start(): Promise<void> {
    const { database, clock, membership } = this.#deps;
    const sentAt = clock.monotonic();
    await database.transaction((tx) => register(tx, membership.instanceId));
    membership.beat(sentAt);
    await this.#rescue();
    this.#loop.start();
  }

  /** Releases what is owned here and signs off. Without the database that is left to the others. */
  async stop(): Promise<void> {
    const { database, log, membership } = this.#deps;
    await this.#loop.stop();
    try {
      await releaseOwner(database, membership.instanceId);
      await database.transaction((tx) => signOff(tx, membership.instanceId));
    } catch (error) {
      log.warn({ error: (error as Error).message }, 'lease.not_released');
    }
  }

  async #beat(): Promise<void> {
    const { database, clock, log, membership, facts } = this.#deps;
    const { instanceId } = membership;
    const sentAt = clock.monotonic();
    const known = await database.transaction((tx) =>
      tx.execute(`UPDATE instances SET heartbeat_at = ${tx.dialect.now} WHERE id = ?`, [instanceId]),
    );
    if (known === 0) await database.transaction((tx) => register(tx, instanceId));
    const wasHeld = membership.isLeaseHeld(); // up to now: others may have taken over while the heartbeat was on its way
    membership.beat(sentAt);
    if (wasHeld && known > 0) return;
    log.warn({ instanceId }, 'lease.regained');
    facts.leaseRegained.emit();
    facts.deliveriesDue.emit({});
  }

  /** Who owns deliveries without a fresh heartbeat is dead; so is, on a file of this machine, a process that is gone. */
  async #rescue(): Promise<void> {
    const { database, log, membership, facts } = this.#deps;
    // Owners first: one that starts between the two looks is then in the second and not taken for dead.
    const all = await owners(database.read);
    const live = await liveInstances(database);
    if (membership.count(live)) facts.membershipChanged.emit();
    let total = 0;
    for (const owner of all)
      if (owner !== membership.instanceId && !live.has(owner)) {
        const released = await releaseOwner(database, owner);
        total += released;
        await database.transaction((tx) => dropCancellations(tx, owner));
        log.warn({ instanceId: owner, deliveries: released }, 'instance.rescued');
      }
    if (total > 0) facts.deliveriesDue.emit({});
  }
}
