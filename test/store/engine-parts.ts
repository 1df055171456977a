import { type Clock, systemClock } from '../../src/clock';
import { Completer } from '../../src/delivery/completion/completer';
import { Heartbeat } from '../../src/delivery/instances/heartbeat';
import { Membership } from '../../src/delivery/instances/membership';
import type { OperationalEvents } from '../../src/events/operational-events';
import { Facts } from '../../src/facts';
import { silentLog } from '../../src/log';
import type { Database } from '../../src/store/database';
import type { Store } from './with-store';

interface Around {
  readonly database?: Pick<Database, 'transaction' | 'dialect'>;
  readonly facts?: Facts;
  readonly operationalEvents?: Pick<OperationalEvents, 'transaction'>;
}

/** What writes attempts down, over a store of its own. */
export function completerOver(
  store: Store,
  { database = store.database, facts = new Facts(), operationalEvents = store.operationalEvents }: Around = {},
): Completer {
  return new Completer({
    instanceId: store.instanceId,
    database: database as Database,
    clock: systemClock,
    log: silentLog,
    random: () => 0,
    operationalEvents,
    facts,
  });
}

/** The heartbeat of an instance, and what it knows and tells. */
export function heartbeatOver({ database }: Pick<Store, 'database'>, instanceId: string, clock: Clock = systemClock) {
  const facts = new Facts();
  const membership = new Membership(instanceId, clock);
  return { heartbeat: new Heartbeat({ database, clock, log: silentLog, membership, facts }), membership, facts };
}
