import { type Condition, compileCondition, type Matchable, readFilter } from './condition';
import type { MatchBudget } from './match-budget';

/** A part of a condition that an event does not meet. */
export interface FailedCondition {
  /** Where the event was looked at: `payload.order.total`; empty where a part is about the event as a whole. */
  readonly path: string;
  readonly operator: string;
  /** What the filter has there. */
  readonly expected: unknown;
  /** What the event has there, for people: texts and numbers, shortened; null where there is nothing. */
  readonly found: string | null;
}

/** The parts of a filter that an event does not meet. Throws OutOfBudget when that takes more than it may. */
export type Explain = (event: Matchable, budget: MatchBudget) => FailedCondition[];

type Part =
  | { readonly kind: 'one'; readonly path: string; readonly operator: string; readonly expected: unknown; readonly isMet: Condition }
  /** One of them would do. */
  | { readonly kind: 'any'; readonly isMet: Condition; readonly choices: readonly (readonly Part[])[] };

type Fields = Readonly<Record<string, unknown>>;

const MAX_FAILED_PER_EVENT = 20;
const MAX_FOUND_CHARS = 200;
/** Where a path leads through lists. */
const MAX_VALUES_SHOWN = 5;
const MAX_STEPS = 1_000;

/** `filter` is one that `compileCondition` takes. */
export function explainerFor(filter: unknown): Explain {
  const parts = partsOf(readFilter(filter) as Fields);
  return (event, budget) => {
    const failed: FailedCondition[] = [];
    gather(parts, event, budget, failed);
    return failed;
  };
}

function partsOf(filter: Fields): Part[] {
  return Object.entries(filter).flatMap(([name, value]): Part[] => {
    if (name === '$and') return (value as Fields[]).flatMap(partsOf);
    if (name === '$or') return [{ kind: 'any', isMet: conditionOf({ $or: value }), choices: (value as Fields[]).map(partsOf) }];
    if (name.startsWith('$')) return [one('', name, value, { [name]: value })];
    if (!isOperators(value)) return [one(name, '$eq', value, { [name]: value })];
    return Object.entries(value).map(([operator, operand]) => one(name, operator, operand, { [name]: { [operator]: operand } }));
  });
}

const one = (path: string, operator: string, expected: unknown, alone: Fields): Part => ({
  kind: 'one',
  path,
  operator,
  expected,
  isMet: conditionOf(alone),
});

function conditionOf(filter: Fields): Condition {
  const compiled = compileCondition(filter);
  if ('problem' in compiled) throw new Error(compiled.problem); // a part of a filter that was taken
  return compiled.condition;
}

function gather(parts: readonly Part[], event: Matchable, budget: MatchBudget, failed: FailedCondition[]): void {
  for (const part of parts) {
    if (failed.length >= MAX_FAILED_PER_EVENT) return;
    if (part.isMet(event, budget)) continue;
    if (part.kind === 'any') {
      for (const choice of part.choices) gather(choice, event, budget, failed);
    } else {
      const { path, operator, expected } = part;
      failed.push({ path, operator, expected, found: path === '' ? null : foundAt(event, path) });
    }
  }
}

/** Lists on the way are gone through, as the condition does. */
function foundAt({ type, payload }: Matchable, path: string): string | null {
  const [first, ...rest] = path.split('.');
  const found: unknown[] = [];
  let steps = 0;
  const walk = (value: unknown, depth: number): void => {
    if (++steps > MAX_STEPS || found.length > MAX_VALUES_SHOWN) return;
    const part = rest[depth];
    if (part === undefined) found.push(value);
    else if (Array.isArray(value) && !Object.hasOwn(value, part)) for (const item of value.slice(0, MAX_STEPS)) walk(item, depth);
    else if (typeof value === 'object' && value !== null && Object.hasOwn(value, part)) walk((value as Fields)[part], depth + 1);
  };
  walk(first === 'type' ? type : payload, 0);
  if (found.length === 0) return null;
  return [...found.slice(0, MAX_VALUES_SHOWN).map(textOf), ...(found.length > MAX_VALUES_SHOWN ? ['…'] : [])].join(', ');
}

/** Never a whole payload. */
function textOf(value: unknown): string {
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === 'object' && value !== null) return 'an object';
  if (typeof value !== 'string') return String(value);
  return JSON.stringify(value.length > MAX_FOUND_CHARS ? `${value.slice(0, MAX_FOUND_CHARS - 1)}…` : value);
}

function isOperators(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).some((key) => key.startsWith('$'));
}
