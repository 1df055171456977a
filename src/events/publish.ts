import { type Problems, shown, UserErrorCode } from '../errors';
import { MAX_JSON_DEPTH, type PayloadText, payloadTextOf } from '../json';
import { plainJson } from '../json-source';
import { keyProblem } from '../key';
import { foreignTypeProblem } from '../matching/event-type';
import type { NewEvent } from './append';
import type { KnownType } from './event-types';
import { CheckAllowance } from './schema-pool';
import type { CheckResult } from './schema-validator';

/** An event as its publisher gives it. */
export interface EventInput {
  readonly type: string;
  readonly payload: unknown;
  readonly idempotencyKey?: string | null;
  readonly orderingKey?: string | null;
  readonly occurredAt?: Date | null;
}

export const MAX_PAYLOAD_BYTES = 1024 * 1024;
export const MAX_EVENTS_PER_PUBLISH = 1_000;
/** Years that a time of an event may name: what four digits can say. */
const LATEST_MS = Date.UTC(9999, 11, 31);

/** Checks an event and makes its payload into text; `path` is its place in the input. */
export function checkEvent(input: EventInput, problems: Problems, path: readonly string[] = []): NewEvent {
  const typeProblem = foreignTypeProblem(input.type);
  if (typeProblem) problems.add([...path, 'type'], typeProblem);
  for (const field of ['idempotencyKey', 'orderingKey'] as const) {
    const key = input[field];
    const problem = typeof key === 'string' ? keyProblem(key) : null;
    if (problem) problems.add([...path, field], problem);
  }
  const { occurredAt } = input;
  if (occurredAt && !(occurredAt.getTime() >= 0 && occurredAt.getTime() <= LATEST_MS))
    problems.add([...path, 'occurredAt'], 'expected a time between the years 1970 and 9999');
  return {
    type: input.type,
    payloadText: payloadText(input.payload, problems, [...path, 'payload']),
    idempotencyKey: input.idempotencyKey ?? null,
    orderingKey: input.orderingKey ?? null,
    occurredAt: occurredAt ?? null,
  };
}

/** Checks an event against its type, where the type is registered. Almost always at once; a promise for schemas that may take long. */
export function checkType(
  input: EventInput,
  { payloadText }: NewEvent,
  known: KnownType | undefined,
  problems: Problems,
  { path = [], allowance = new CheckAllowance() }: { readonly path?: readonly string[]; readonly allowance?: CheckAllowance } = {},
): void | Promise<void> {
  if (known?.isArchived)
    problems.add([...path, 'type'], `expected an event type that is in use; ${input.type} is archived`, UserErrorCode.CONFLICT);
  const report = (result: CheckResult) => {
    if (result !== null) problems.add(...typeProblem(input.type, result, [...path, 'payload']));
  };
  const result = known?.check?.(plainJson(input.payload), payloadText, allowance) ?? null;
  return result instanceof Promise ? result.then(report) : report(result);
}

/** What cannot be checked is refused: a schema that is there and lets everything through would be worse than none. */
function typeProblem(
  type: string,
  result: Exclude<CheckResult, null>,
  path: readonly string[],
): readonly [path: readonly string[], message: string, code?: UserErrorCode] {
  if ('unusable' in result)
    return [
      path,
      `cannot be checked: the schema of ${type} is no longer usable and has to be registered again: ${result.unusable}`,
      UserErrorCode.CONFLICT,
    ];
  if ('unchecked' in result) return [path, `could not be checked against the schema of ${type}: ${result.unchecked}`];
  return [[...path, ...result.path], `does not fit the schema of ${type}: ${result.message}`];
}

/** A payload as it came, as text; '' where something is wrong with it. */
export function payloadText(payload: unknown, problems: Problems, path: readonly string[]): string {
  const made = payloadTextOf(payload, MAX_PAYLOAD_BYTES);
  if (!('text' in made)) {
    problems.add(path, ...payloadProblem(made));
    return '';
  }
  const { text } = made;
  // A character has 1 to 3 bytes: most payloads need no counting.
  const bytes = text.length * 3 <= MAX_PAYLOAD_BYTES ? 0 : Buffer.byteLength(text);
  if (bytes > MAX_PAYLOAD_BYTES) problems.add(path, `${AT_MOST}, got ${bytes}`, UserErrorCode.TOO_LARGE);
  return text;
}

const AT_MOST = `expected at most ${MAX_PAYLOAD_BYTES} bytes of minified JSON`;

function payloadProblem(wrong: Exclude<PayloadText, { text: string }>): readonly [message: string, code: UserErrorCode] {
  // What was checked must be what is sent, and receivers differ in which of the two they read.
  if ('duplicate' in wrong)
    return [`expected objects that have each name once, got ${shown(wrong.duplicate)} twice in one`, UserErrorCode.INVALID];
  if (wrong.problem === 'long') return [`${AT_MOST}, got more`, UserErrorCode.TOO_LARGE];
  return wrong.problem === 'deep'
    ? [`expected JSON of at most ${MAX_JSON_DEPTH} levels, got more`, UserErrorCode.TOO_LARGE]
    : ['expected JSON, got nothing', UserErrorCode.REQUIRED];
}
