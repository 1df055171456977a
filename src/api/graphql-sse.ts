import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type ExecutionResult, type FormattedExecutionResult, GraphQLError } from 'graphql';
import type { ApiKeys } from '../applications/api-keys';
import { type Clock, SECOND } from '../clock';
import { HubError } from '../errors';
import { callerOf } from './bearer';
import type { OperationRequest, Operations } from './operations';
import { BadRequest, parseJson, readBody } from './request-body';

interface Deps {
  readonly operations: Operations;
  readonly apiKeys: ApiKeys;
  readonly clock: Clock;
}

/** Proxies drop a stream that is silent for a minute or less. */
const PING_MS = 12 * SECOND;

/**
 * One operation a request over server-sent events: the "distinct connections" mode of the GraphQL over SSE protocol.
 * Written here because the next result is fetched only when the socket has taken the last: the library's queue has no
 * bound.
 */
export class GraphqlSse {
  readonly #deps: Deps;
  readonly #open = new Set<() => void>();

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  get streams(): number {
    return this.#open.size;
  }

  async handle(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const { operations, apiKeys } = this.#deps;
    const operation = request.method === 'POST' ? operationOf(parseJson(await readBody(request))) : operationInQuery(url);
    const caller = await callerOf(apiKeys, request.headers.authorization);
    const prepared = operations.prepare(operation, caller);
    if ('args' in prepared && prepared.kind === 'mutation' && request.method !== 'POST')
      throw new BadRequest(405, 'expected POST for a mutation');
    response.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache, no-transform',
      'x-accel-buffering': 'no',
    });
    response.write(':\n\n');
    if ('errors' in prepared) return this.#end(response, { errors: operations.present(prepared.errors) });
    const result = await operations.run(prepared);
    if (!(Symbol.asyncIterator in result)) return this.#end(response, this.#present(result));

    const iterator = result[Symbol.asyncIterator]();
    let ended: HubError | undefined;
    const leave = (reason?: HubError) => {
      ended ??= reason;
      void iterator.return?.();
    };
    const close = () => leave();
    response.once('close', close);
    const stopWatching = caller ? apiKeys.watch(caller, () => leave(new HubError('UNAUTHENTICATED', 'The key has ended.'))) : () => {};
    this.#open.add(close);
    const stopPinging = this.#ping(response);
    try {
      await this.#pump(response, iterator);
      await this.#end(response, ended && { errors: operations.present([wrapped(ended)]) });
    } catch (error) {
      await this.#end(response, { errors: operations.present([wrapped(error)]) });
    } finally {
      stopPinging();
      stopWatching();
      this.#open.delete(close);
      response.off('close', close);
    }
  }

  /** Ends every stream; clients reconnect with their cursor, to another instance. */
  stop(): void {
    for (const close of [...this.#open]) close();
  }

  async #pump(response: ServerResponse, iterator: AsyncIterator<ExecutionResult>): Promise<void> {
    for (;;) {
      const { done, value } = await iterator.next();
      if (done || response.destroyed) return;
      if (!response.write(frame(this.#present(value)))) await Promise.race([once(response, 'drain'), once(response, 'close')]);
    }
  }

  async #end(response: ServerResponse, last: FormattedExecutionResult | undefined): Promise<void> {
    if (response.destroyed) return;
    response.end(`${last ? frame(last) : ''}event: complete\ndata:\n\n`);
  }

  #present({ errors, ...rest }: ExecutionResult): FormattedExecutionResult {
    return errors ? { ...rest, errors: this.#deps.operations.present(errors) } : rest;
  }

  #ping(response: ServerResponse): () => void {
    const { clock } = this.#deps;
    const beat = () => {
      // A client that does not read gets no more of them: they would pile up.
      if (!response.writableNeedDrain && !response.destroyed) response.write(':\n\n');
      cancel = clock.after(PING_MS, beat);
    };
    let cancel = clock.after(PING_MS, beat);
    return () => cancel();
  }
}

function frame(result: FormattedExecutionResult): string {
  return `event: next\ndata: ${JSON.stringify(result)}\n\n`;
}

function wrapped(error: unknown): GraphQLError {
  if (error instanceof GraphQLError) return error;
  const originalError = error instanceof Error ? error : new Error(String(error));
  return new GraphQLError(originalError.message, { originalError });
}

export function operationOf(body: unknown): OperationRequest {
  const { query, variables, operationName } = (typeof body === 'object' && body !== null ? body : {}) as Record<string, unknown>;
  if (typeof query !== 'string') throw new BadRequest(400, 'expected `query`, the text of a GraphQL document');
  if (variables !== undefined && variables !== null && (typeof variables !== 'object' || Array.isArray(variables)))
    throw new BadRequest(400, 'expected `variables` to be an object');
  if (operationName !== undefined && operationName !== null && typeof operationName !== 'string')
    throw new BadRequest(400, 'expected `operationName` to be a string');
  return { query, variables: variables as Record<string, unknown> | null | undefined, operationName };
}

function operationInQuery({ searchParams }: URL): OperationRequest {
  const variables = searchParams.get('variables');
  return operationOf({
    query: searchParams.get('query') ?? undefined,
    operationName: searchParams.get('operationName') ?? undefined,
    variables: variables === null ? undefined : parseJson(variables),
  });
}
