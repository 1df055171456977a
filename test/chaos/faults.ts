import { setTimeout as pause } from 'node:timers/promises';
import type { Mariadb } from '../support/mariadb';
import type { Redis } from '../support/redis';
import type { Trouble } from './facts';
import type { Fleet, Slot } from './fleet';
import { describeFault, type Fault } from './schedule';

export interface Stage {
  readonly fleet: Fleet;
  readonly mariadb: Mariadb;
  readonly redis: Redis | undefined;
}

/** A connection on which nothing is committed for so long has nothing to lose. */
const LOSS_MS = 10_000;

/** Does what the schedule says, one fault at a time to one thing, and writes down what was done when. */
export class Faults {
  readonly troubles: Trouble[] = [];
  readonly #stage: Stage;
  readonly #say: (line: string) => void;
  /** By what they are done to: the next begins when the one before is made good. */
  readonly #queues = new Map<string, Promise<void>>();

  constructor(stage: Stage, say: (line: string) => void) {
    this.#stage = stage;
    this.#say = say;
  }

  /** Resolves when all have been done and made good. */
  async run(schedule: readonly Fault[]): Promise<void> {
    const startedAt = performance.now();
    for (const fault of schedule) {
      await pause(Math.max(0, fault.atMs - (performance.now() - startedAt)));
      this.#enqueue(fault);
    }
    await Promise.all(this.#queues.values());
  }

  #enqueue(fault: Fault): void {
    const target = targetOf(fault);
    const before = this.#queues.get(target) ?? Promise.resolve();
    this.#queues.set(
      target,
      before.then(() => this.#perform(fault)),
    );
  }

  async #perform(fault: Fault): Promise<void> {
    const slot = fault.slot === null ? undefined : this.#stage.fleet.slots[fault.slot];
    const life = slot && targetOf(fault).startsWith('hub') ? slot.name.life : null;
    const from = Date.now();
    this.#say(describeFault(fault));
    await (slot ? this.#hurt(slot, fault, () => this.#note(fault, life, Date.now(), Date.now())) : this.#hurtAll(fault));
    if (fault.kind !== 'lose-commit' && fault.kind !== 'lose-answer')
      this.#note(fault, life, from, fault.kind === 'kill-hub' ? from : Date.now());
  }

  #note({ kind, slot }: Fault, life: number | null, from: number, to: number): void {
    this.troubles.push({ kind, slot, life, from, to });
  }

  async #hurt(slot: Slot, { kind, lastsMs }: Fault, lost: () => void): Promise<void> {
    const { proxy } = slot;
    switch (kind) {
      case 'kill-hub':
        await slot.kill();
        await pause(lastsMs);
        return slot.start();
      case 'stop-hub':
        await slot.stop();
        await pause(lastsMs);
        return slot.start();
      case 'freeze-hub':
        slot.freeze();
        await pause(lastsMs);
        return slot.thaw();
      case 'cut-database':
        proxy.cut();
        await pause(lastsMs);
        return proxy.heal();
      case 'stall-database':
        proxy.stall();
        await pause(lastsMs);
        return proxy.heal();
      case 'lose-commit':
      case 'lose-answer':
        await Promise.race([
          proxy.loseCommit(kind === 'lose-commit' ? 'before' : 'after').then(lost),
          pause(LOSS_MS, undefined, { ref: false }),
        ]);
        return proxy.heal();
      case 'kill-database':
      case 'freeze-database':
      case 'kill-redis':
        throw new Error(`${kind} is not for one instance`);
    }
  }

  async #hurtAll({ kind, lastsMs }: Fault): Promise<void> {
    const { mariadb, redis } = this.#stage;
    if (kind === 'kill-database') {
      await mariadb.kill('SIGKILL');
      await pause(lastsMs);
      await mariadb.restart();
    } else if (kind === 'freeze-database') {
      process.kill(mariadb.pid, 'SIGSTOP');
      await pause(lastsMs);
      process.kill(mariadb.pid, 'SIGCONT');
    } else if (kind === 'kill-redis' && redis) {
      await redis.kill();
      await pause(lastsMs);
      await redis.restart();
    }
  }
}

function targetOf({ kind, slot }: Fault): string {
  switch (kind) {
    case 'kill-hub':
    case 'stop-hub':
    case 'freeze-hub':
      return `hub ${slot}`;
    case 'cut-database':
    case 'stall-database':
    case 'lose-commit':
    case 'lose-answer':
      return `link ${slot}`;
    case 'kill-database':
    case 'freeze-database':
      return 'database';
    case 'kill-redis':
      return 'redis';
  }
}
