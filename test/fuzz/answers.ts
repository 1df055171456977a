import { HUB_ERRORS, UserErrorCode } from '../../src/errors';

/** What a client may hear; the code of a fault of the hub is not among them. */
const CODES: ReadonlySet<unknown> = new Set([
  ...Object.keys(HUB_ERRORS),
  'GRAPHQL_PARSE_FAILED',
  'GRAPHQL_VALIDATION_FAILED',
  'OPERATION_RESOLUTION_FAILURE',
  'BAD_REQUEST',
  'NOT_FOUND',
]);

/** Of the inside: stack traces, files, statements, drivers, and what JavaScript says when a program is wrong. */
const INSIDE =
  /node_modules|node:internal|\bat \S+ \(|\.[jt]s:\d|\/(tmp|src|dist)\/|\b(SELECT|INSERT INTO|DELETE FROM) |SQLITE_|\bER_[A-Z]|QueryFailed|[Tt]ype[Oo][Rr][Mm]|libsql|mysql|\b(Type|Range|Reference|Assertion)Error\b|Cannot (read|set|convert)|is not (a function|iterable)|INTERNAL_SERVER_ERROR|Internal error/;

/** Text that left the hub. `known` is what the client itself sent: messages quote it. */
export function expectNothingOfTheInside(answer: string, known = ''): void {
  const [leak] = INSIDE.exec(answer) ?? [];
  if (leak !== undefined && !known.includes(leak))
    throw new Error(`the answer shows something of the inside, ${leak}: ${answer.slice(0, 2_000)}`);
}

interface GraphqlAnswer {
  readonly data?: unknown;
  readonly errors?: unknown;
}

interface GraphqlError {
  readonly message?: unknown;
  readonly extensions?: { readonly code?: unknown };
}

/** A well-formed answer with known codes, which tells nothing of the inside. */
export function expectGraphqlAnswer(answer: GraphqlAnswer, known = ''): void {
  const text = JSON.stringify(answer);
  const hasData = typeof answer.data === 'object';
  if (!hasData && answer.errors === undefined) throw new Error(`expected data or errors, got ${text.slice(0, 500)}`);
  if (answer.errors !== undefined) expectErrors(answer.errors, text);
  for (const [, code] of text.matchAll(/"userErrors":\[\{[^\]]*?"code":"(\w+)"/g))
    if (!Object.hasOwn(UserErrorCode, code ?? '')) throw new Error(`unknown code of a user error: ${code}`);
  expectNothingOfTheInside(JSON.stringify(answer.errors ?? ''), known);
}

export function expectErrors(errors: unknown, text: string): void {
  if (!Array.isArray(errors) || errors.length === 0) throw new Error(`expected a list of errors, got ${text.slice(0, 500)}`);
  for (const { message, extensions } of errors as GraphqlError[])
    if (typeof message !== 'string' || message === '' || !CODES.has(extensions?.code))
      throw new Error(`expected an error with a message and a known code, got ${text.slice(0, 1_000)}`);
}
