import { LRUCache } from 'lru-cache';
import { type Clock, SECOND } from '../clock';
import type { Log } from '../log';
import { compileInline, type PayloadCheck, type SchemaViolation, shapeProblem, TooLongHere } from './payload-schema';
import { costPerChar } from './schema-cost';
import { type CheckAllowance, SchemaPool } from './schema-pool';
import type { SchemaAnswer } from './schema-worker';

export type CheckResult =
  /** Null: the payload fits. */
  | SchemaViolation
  | null
  /** The schema cannot be used, or the check did not come to an end. */
  | { readonly unusable: string }
  | { readonly unchecked: string };

/** A payload, also as text. */
interface Checked {
  readonly payload: unknown;
  readonly text: string;
  readonly allowance: CheckAllowance;
}

type Known =
  | { readonly kind: 'inline'; readonly unitsPerChar: number; readonly check: PayloadCheck }
  | { readonly kind: 'elsewhere' }
  | { readonly kind: 'broken'; readonly problem: string };

/** A unit takes some 5 ns at most, an ordinary one a hundredth of it: 10 ms at most. */
const MAX_INLINE_UNITS = 2_000_000;
/** Of schemas that are kept compiled; compiled they take some 20 times the memory of their text. */
const MAX_COMPILED = 10_000;
const MAX_COMPILED_CHARS = 4 * 1024 * 1024;

/** Time of the event loop that the schemas of an application may take to be compiled; beyond it they are checked in a thread. */
const MAX_COMPILE_MS_PER_APPLICATION = 500;
const COMPILE_WINDOW_MS = 10 * SECOND;
const MAX_APPLICATIONS = 10_000;

const ELSEWHERE: Known = { kind: 'elsewhere' };

/**
 * Checks payloads against JSON Schemas. What is certain to be quick is checked at once; what is not, in a thread that can
 * be ended. Schemas are compiled when they are first used, and kept by their text.
 */
export class SchemaValidator {
  readonly #clock: Clock;
  readonly #pool: SchemaPool;
  readonly #known = new LRUCache<string, Known>({
    max: MAX_COMPILED,
    maxSize: MAX_COMPILED_CHARS,
    sizeCalculation: (_known, text) => text.length + 1,
  });

  readonly #compiling = new LRUCache<string, { readonly since: number; ms: number }>({ max: MAX_APPLICATIONS });

  constructor(deps: { readonly clock: Clock; readonly log: Log }) {
    this.#clock = deps.clock;
    this.#pool = new SchemaPool(deps);
  }

  /** What is wrong with a schema that somebody wants to use, or null. */
  async problemOf(applicationId: string, schema: unknown): Promise<string | null> {
    const problem = shapeProblem(schema);
    if (problem !== null) return problem;
    const text = JSON.stringify(schema);
    const known = this.#find(applicationId, text);
    if (known.kind !== 'elsewhere') return known.kind === 'broken' ? known.problem : null;
    const answer = await this.#pool.run(applicationId, { schema: text, payload: null });
    if ('problem' in answer) return answer.problem;
    return 'failed' in answer ? `expected a schema that can be compiled, but ${answer.failed}` : null;
  }

  /** `schema` as it is stored: JSON. */
  check(applicationId: string, schema: string, checked: Checked): CheckResult | Promise<CheckResult> {
    const known = this.#find(applicationId, schema);
    if (known.kind === 'broken') return { unusable: known.problem };
    if (known.kind === 'inline' && known.unitsPerChar * checked.text.length <= MAX_INLINE_UNITS) {
      try {
        return known.check(checked.payload);
      } catch (error) {
        if (!(error instanceof TooLongHere)) throw error;
      }
    }
    return this.#checkElsewhere(applicationId, schema, checked);
  }

  stop(): Promise<void> {
    return this.#pool.stop();
  }

  async #checkElsewhere(applicationId: string, schema: string, { text, allowance }: Checked): Promise<CheckResult> {
    return resultOf(await this.#pool.run(applicationId, { schema, payload: text }, allowance));
  }

  #find(applicationId: string, text: string): Known {
    const known = this.#known.get(text);
    if (known) return known;
    const startedAt = this.#clock.monotonic();
    const spent = this.#spentBy(applicationId, startedAt);
    if (spent.ms > MAX_COMPILE_MS_PER_APPLICATION) return ELSEWHERE;
    const compiled = compile(text);
    this.#known.set(text, compiled);
    spent.ms += this.#clock.monotonic() - startedAt;
    return compiled;
  }

  #spentBy(applicationId: string, now: number): { ms: number } {
    const known = this.#compiling.get(applicationId);
    if (known && now - known.since < COMPILE_WINDOW_MS) return known;
    const fresh = { since: now, ms: 0 };
    this.#compiling.set(applicationId, fresh);
    return fresh;
  }
}

function compile(text: string): Known {
  const schema: unknown = JSON.parse(text);
  const problem = shapeProblem(schema);
  if (problem !== null) return { kind: 'broken', problem };
  const unitsPerChar = costPerChar(schema as object, text);
  if (unitsPerChar === null) return ELSEWHERE;
  const compiled = compileInline(schema as object);
  return 'problem' in compiled ? { kind: 'broken', problem: compiled.problem } : { kind: 'inline', unitsPerChar, check: compiled.check };
}

function resultOf(answer: SchemaAnswer): CheckResult {
  if ('violation' in answer) return answer.violation;
  return 'problem' in answer ? { unusable: answer.problem } : { unchecked: answer.failed };
}
