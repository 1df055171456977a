import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ExecutionResult, FormattedExecutionResult } from 'graphql';
import type { ApiKeys, Caller } from '../applications/api-keys';
import { type Clock, SECOND } from '../clock';
import { HubError } from '../errors';
import type { Slices } from '../slices';
import { traceContextOf } from '../trace-context';
import { admit } from './admit';
import type { AddressOf } from './client-address';
import type { Context } from './context';
import type { Identify } from './identify';
import type { Holding, Intake } from './intake';
import type { KeyLimits } from './key-limits';
import { operationIn, operationInUrl } from './operation-request';
import { type OperationRequest, type Operations, rateLimitOf } from './operations';
import { asGraphqlError } from './present-error';
import type { Refusals } from './refusals';
import { BadRequest, parseJsonInTurns, readBody } from './request-body';
import { whenClosed } from './respond';
import type { Results } from './shared-results';
import type { Unsent, UnsentAnswer } from './unsent';

interface Deps {
  readonly operations: Operations;
  readonly apiKeys: ApiKeys;
  readonly keyLimits: KeyLimits;
  readonly identify: Identify;
  readonly addressOf: AddressOf;
  readonly intake: Intake;
  readonly refusals: Refusals;
  readonly unsent: Unsent;
  readonly slices: Slices;
  readonly clock: Clock;
}

interface Streamed {
  readonly results: Results;
  readonly caller: Caller | null;
  readonly answer: UnsentAnswer;
}

/** A request that was read. */
interface Received {
  readonly caller: Caller | null;
  readonly holding: Holding;
  readonly operation: OperationRequest;
}

/** Proxies drop a stream that is silent for a minute or less. */
const PING_MS = 12 * SECOND;
/** How long a client that reads slowly may take for the end of a stream that the hub ended. */
const LAST_WORDS_MS = 5 * SECOND;

/** Why a stream is left before its end. */
type Leaving = 'gone' | 'key ended' | 'going away';

/**
 * One operation a request over server-sent events: the "distinct connections" mode of the GraphQL over SSE protocol.
 * Written here because the next result is fetched only when the socket has taken the last: the library's queue has no
 * bound.
 */
export class GraphqlSse {
  readonly #deps: Deps;
  readonly #open = new Set<(why: Leaving) => void>();

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  get streams(): number {
    return this.#open.size;
  }

  async handle(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const { slices } = this.#deps;
    const { caller, holding } = await admit(this.#deps, request, response);
    const isPost = request.method === 'POST';
    const operation = isPost
      ? operationIn(await parseJsonInTurns(await readBody(request, holding), { slices, caller }))
      : operationInUrl(url);
    await this.serve(request, response, { caller, holding, operation });
  }

  /**
   * Answers with a stream. What a client is to try again or to ask otherwise it is told by the status, in JSON; what is
   * wrong with the operation, by the protocol, in the stream.
   */
  async serve(request: IncomingMessage, response: ServerResponse, { caller, holding, operation }: Received): Promise<void> {
    const { operations, apiKeys, addressOf, unsent, refusals } = this.#deps;
    const answer = unsent.open(request.socket, caller);
    whenClosed(response, () => answer.release());
    await operations.turnToJudge(operation.query);
    const prepared = operations.prepare(operation, {
      caller,
      traceContext: traceContextOf(request.headers.traceparent, request.headers.tracestate),
      address: addressOf(request),
      unsent: answer,
    });
    if ('errors' in prepared) {
      refusals.operation(operation, prepared.errors[0]);
      throwIfLimited(prepared);
      begin(response);
      return this.#end(response, { errors: operations.present(prepared.errors) });
    }
    if (prepared.kind === 'mutation' && request.method !== 'POST') throw new BadRequest(405, 'expected POST for a mutation', 'POST');
    if (prepared.kind === 'subscription') holding.keepForSubscription(prepared.args.document, operation.query.length);
    const result = await operations.run(prepared);
    if (Symbol.asyncIterator in result) {
      begin(response);
      const watchKey = (ended: () => void) => (caller ? apiKeys.watch(caller, ended) : () => {});
      return this.#stream(response, { results: result, caller, answer }, watchKey);
    }
    if (result.data === undefined) refusals.operation(operation, result.errors?.[0]);
    throwIfLimited(result);
    const { budget } = prepared.args.contextValue as Context;
    const text = await operations.textOf(result, budget);
    begin(response);
    this.#endWith(response, text, answer);
  }

  /** Ends every stream; clients reconnect with their cursor, to another instance. */
  stop(): void {
    for (const leave of [...this.#open]) leave('going away');
  }

  async #stream(response: ServerResponse, streamed: Streamed, watchKey: (ended: () => void) => () => void): Promise<void> {
    const { results } = streamed;
    const left = new AbortController();
    const leave = (why: Leaving) => {
      left.abort(why);
      void results.return();
      this.#deps.unsent.leave(response);
    };
    const gone = () => leave('gone');
    const stopWatching = watchKey(() => leave('key ended'));
    const stopPinging = this.#ping(response);
    this.#open.add(leave);
    response.once('close', gone);
    if (response.destroyed) gone();
    try {
      await this.#pump(response, streamed, left.signal);
      if (left.signal.reason === 'going away') this.#break(response);
      else
        this.#end(
          response,
          left.signal.reason === 'key ended' ? this.#failure(new HubError('UNAUTHENTICATED', 'The key has ended.')) : undefined,
        );
    } catch (error) {
      this.#end(response, this.#failure(error));
    } finally {
      this.#open.delete(leave);
      response.off('close', gone);
      stopPinging();
      stopWatching();
    }
  }

  async #pump(response: ServerResponse, { results, caller, answer }: Streamed, left: AbortSignal): Promise<void> {
    const { unsent } = this.#deps;
    const roomFor = (bytes: number) => (left.aborted ? undefined : unsent.room(response, caller, bytes));
    for (;;) {
      const texts = await results.take(roomFor);
      if (texts.length === 0 || left.aborted) return unsent.wake();
      const frames = Buffer.concat(texts.flatMap((text) => [NEXT, text, END]));
      answer.made(frames.length);
      if (!response.write(frames)) await drained(response, left);
      answer.made(response.writableLength);
    }
  }

  /** The end of what has one result. */
  #endWith(response: ServerResponse, text: Buffer, answer: UnsentAnswer): void {
    if (response.destroyed) {
      answer.release();
      return;
    }
    answer.made(text.length);
    response.write(NEXT);
    response.write(text);
    response.end(Buffer.concat([END, Buffer.from(COMPLETE)]));
    this.#dropLater(response);
  }

  #failure(error: unknown): FormattedExecutionResult {
    return { errors: this.#deps.operations.present([asGraphqlError(error)]) };
  }

  /** The end by the protocol: a client does not come back. */
  #end(response: ServerResponse, last?: FormattedExecutionResult): void {
    if (response.destroyed) return;
    response.end(`${last ? frame(last) : ''}${COMPLETE}`);
    this.#dropLater(response);
  }

  /** The connection ends and the operation does not: a client connects again. */
  #break(response: ServerResponse): void {
    if (response.destroyed) return;
    response.end();
    this.#dropLater(response);
  }

  #dropLater(response: ServerResponse): void {
    response.once(
      'close',
      this.#deps.clock.after(LAST_WORDS_MS, () => response.destroy()),
    );
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

/** The comment makes proxies and clients see the headers at once. */
function begin(response: ServerResponse): void {
  response.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store, no-transform',
    'x-accel-buffering': 'no',
  });
  response.write(':\n\n');
}

/** @throws HubError RATE_LIMITED */
function throwIfLimited(result: ExecutionResult): void {
  const limit = rateLimitOf(result);
  if (limit) throw limit;
}

/** Until the socket takes more, or the stream is left. */
function drained(response: ServerResponse, left: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      response.off('drain', done);
      left.removeEventListener('abort', done);
      resolve();
    };
    if (left.aborted) return resolve();
    response.once('drain', done);
    left.addEventListener('abort', done);
  });
}

const NEXT = Buffer.from('event: next\ndata: ');
const END = Buffer.from('\n\n');
const COMPLETE = 'event: complete\ndata:\n\n';

function frame(result: FormattedExecutionResult): string {
  return `${NEXT}${JSON.stringify(result)}${END}`;
}
