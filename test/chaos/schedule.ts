import { between, pick, type Random, seededRandom, shuffled } from './random';

/** What is done to the system. Those of an instance name it; `slot` is its place in the fleet, from 0. */
export type FaultKind =
  | 'kill-hub'
  | 'freeze-hub'
  | 'stop-hub'
  | 'kill-database'
  | 'freeze-database'
  | 'kill-redis'
  | 'cut-database'
  | 'stall-database'
  | 'lose-commit'
  | 'lose-answer';

export interface Fault {
  readonly kind: FaultKind;
  /** The instance that it is for; null: for what all share. */
  readonly slot: number | null;
  /** When it begins; milliseconds from the start. */
  readonly atMs: number;
  /** Until it is made good: the process started again, the connection let through. */
  readonly lastsMs: number;
}

export interface Plan {
  readonly seed: number;
  readonly seconds: number;
  readonly instances: number;
  readonly withRedis: boolean;
}

interface Habit {
  /** Milliseconds, the shortest and the longest. */
  readonly lasts: readonly [number, number];
  readonly isOfInstance: boolean;
  /** How often, beside the others. */
  readonly weight: number;
}

/** An instance that is frozen for less than its lease of 9 s loses nothing but time: these are frozen for longer. */
const HABITS: Readonly<Record<FaultKind, Habit>> = {
  'kill-hub': { lasts: [200, 3_000], isOfInstance: true, weight: 3 },
  'freeze-hub': { lasts: [10_000, 13_000], isOfInstance: true, weight: 2 },
  'stop-hub': { lasts: [0, 1_000], isOfInstance: true, weight: 2 },
  'kill-database': { lasts: [0, 4_000], isOfInstance: false, weight: 1 },
  'freeze-database': { lasts: [1_000, 8_000], isOfInstance: false, weight: 1 },
  'kill-redis': { lasts: [500, 5_000], isOfInstance: false, weight: 1 },
  'cut-database': { lasts: [0, 12_000], isOfInstance: true, weight: 2 },
  'stall-database': { lasts: [1_000, 12_000], isOfInstance: true, weight: 2 },
  'lose-commit': { lasts: [0, 0], isOfInstance: true, weight: 2 },
  'lose-answer': { lasts: [0, 0], isOfInstance: true, weight: 2 },
};

/** The first fault comes after so long: there is something to break by then. */
const QUIET_MS = 1_000;
const MS_PER_FAULT = 2_500;

/** Pure: what goes wrong when. Every kind comes at least once; the same plan gives the same schedule. */
export function planFaults({ seed, seconds, instances, withRedis }: Plan): Fault[] {
  const random = seededRandom(seed);
  const kinds = (Object.keys(HABITS) as FaultKind[]).filter((kind) => withRedis || kind !== 'kill-redis');
  const lottery = kinds.flatMap((kind) => Array<FaultKind>(HABITS[kind].weight).fill(kind));
  const more = Math.max(0, Math.round((seconds * 1_000) / MS_PER_FAULT) - kinds.length);
  const chosen = [...shuffled(random, kinds), ...Array.from({ length: more }, () => pick(random, lottery))];
  return chosen.map((kind) => plan(kind, { random, endMs: seconds * 1_000, instances })).sort((a, b) => a.atMs - b.atMs);
}

function plan(kind: FaultKind, { random, endMs, instances }: { random: Random; endMs: number; instances: number }): Fault {
  const { lasts, isOfInstance } = HABITS[kind];
  const lastsMs = between(random, ...lasts);
  const atMs = between(random, QUIET_MS, Math.max(QUIET_MS, endMs - lastsMs));
  return { kind, slot: isOfInstance ? between(random, 0, instances - 1) : null, atMs, lastsMs };
}

export function describeFault({ kind, slot, atMs, lastsMs }: Fault): string {
  const whom = slot === null ? '' : ` of instance ${slot}`;
  return `${seconds(atMs).padStart(7)}  ${kind}${whom}${lastsMs > 0 ? `, for ${seconds(lastsMs)}` : ''}`;
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
