import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type ExecutionArgs, type ExecutionResult, GraphQLError } from 'graphql';
import { CloseCode, GRAPHQL_TRANSPORT_WS_PROTOCOL, makeServer, type Server, type SubscribePayload } from 'graphql-ws';
import { type WebSocket, WebSocketServer } from 'ws';
import type { ApiKeys } from '../applications/api-keys';
import { type Clock, SECOND } from '../clock';
import { HubError } from '../errors';
import type { Log } from '../log';
import type { Slices } from '../slices';
import { traceContextOf } from '../trace-context';
import type { AddressOf } from './client-address';
import type { Context } from './context';
import type { Identify } from './identify';
import type { Intake } from './intake';
import type { KeyLimits } from './key-limits';
import { LIMITS } from './limits';
import type { Operations } from './operations';
import { asGraphqlError } from './present-error';
import type { Refusals } from './refusals';
import { Results } from './shared-results';
import type { Unsent } from './unsent';
import { WsConnection } from './ws-connection';

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
  readonly log: Log;
}

/** To graphql-ws, a stream that ends without any results: those are sent already. */
const NOTHING_MORE: AsyncIterableIterator<never> = {
  next: async () => ({ done: true, value: undefined }),
  [Symbol.asyncIterator]: () => NOTHING_MORE,
};

interface Extra {
  readonly connection: WsConnection;
}

/** Of one socket, at a time; one more is refused and the others go on. */
const MAX_OPERATIONS = 1_000;
const RETRY_AFTER_SECONDS = 1;
/** How long clients may take to answer the hub's goodbye. */
const GOODBYE_MS = 2 * SECOND;

/** Every kind of operation over `graphql-transport-ws`. */
export class GraphqlWs {
  readonly #deps: Deps;
  readonly #sockets = new WebSocketServer({
    noServer: true,
    maxPayload: LIMITS.requestBytes,
    perMessageDeflate: false, // it costs more memory and time a socket than it saves
    clientTracking: false,
    handleProtocols: (protocols) => (protocols.has(GRAPHQL_TRANSPORT_WS_PROTOCOL) ? GRAPHQL_TRANSPORT_WS_PROTOCOL : false),
  });
  readonly #connections = new Set<WsConnection>();
  readonly #protocol: Server<Extra>;
  #lastClosed: (() => void) | undefined;

  constructor(deps: Deps) {
    this.#deps = deps;
    const { operations, apiKeys, identify } = deps;
    this.#protocol = makeServer<Record<string, unknown>, Extra>({
      connectionInitWaitTimeout: 0, // the connection has a clock of its own
      onConnect: async ({ extra: { connection }, connectionParams }) => {
        connection.initialised();
        const caller = await identify(connection.request, connectionParams?.authorization ?? connection.request.headers.authorization);
        if (caller === null) {
          connection.close(CloseCode.Unauthorized, 'Unauthorized');
          return false;
        }
        connection.admit(caller, (whose, ended) => apiKeys.watch(whose, ended));
        return true;
      },
      onSubscribe: ({ extra }, _id, payload) => {
        const prepare = () => this.#counted(payload, this.#prepare(extra.connection, payload));
        const turn = operations.turnToJudge(payload.query);
        return turn ? turn.then(prepare) : prepare();
      },
      execute: (args) => operations.execute(args),
      subscribe: (args) => operations.subscribe(args),
      async onOperation({ extra, subscriptions }, id, payload, args, result) {
        if (result instanceof Results) {
          extra.connection.track(payload, result);
          return extra.connection.pump(id, result);
        }
        const { budget } = args.contextValue as Context;
        const text = await operations.textOf(result as ExecutionResult, budget);
        const isWanted = id in subscriptions; // else its client has completed it meanwhile
        if (isWanted) await extra.connection.answer(id, text, budget.unsent);
        else budget.unsent.release();
        return NOTHING_MORE;
      },
      onComplete: ({ extra }, _id, payload) => extra.connection.untrack(payload),
      onError: (_ctx, _id, _payload, errors) => operations.present(errors),
    });
  }

  get sockets(): number {
    return this.#connections.size;
  }

  /** Bytes that wait for clients to read, over all sockets. */
  get unsentBytes(): number {
    let bytes = 0;
    for (const connection of this.#connections) bytes += connection.unsentBytes;
    return bytes;
  }

  /** `isOverLimit`: it is only told that there is no place for it. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer, isOverLimit: boolean): void {
    this.#sockets.handleUpgrade(request, socket, head, (client) => {
      const connection = this.#opened(client, request);
      if (isOverLimit) connection.refuse();
    });
  }

  /** Closes every socket as going away: clients reconnect with their cursor, to another instance. */
  async stop(): Promise<void> {
    if (this.#connections.size === 0) return;
    const allClosed = new Promise<void>((resolve) => {
      this.#lastClosed = resolve;
    });
    for (const connection of this.#connections) connection.goAway();
    const cancel = this.#deps.clock.after(GOODBYE_MS, () => {
      for (const connection of this.#connections) connection.terminate();
    });
    await allClosed;
    cancel();
  }

  #opened(client: WebSocket, request: IncomingMessage): WsConnection {
    const { clock, log } = this.#deps;
    const openedAt = clock.monotonic();
    const connection = new WsConnection(client, request, this.#deps);
    this.#connections.add(connection);
    const closed = this.#protocol.opened(connection, { connection });
    client.once('close', (code, reason) => {
      connection.closed();
      this.#connections.delete(connection);
      if (this.#connections.size === 0) this.#lastClosed?.();
      log.debug({ code, ms: Math.round(clock.monotonic() - openedAt) }, 'socket.closed');
      void closed(code, reason.toString());
    });
    return connection;
  }

  #counted<P extends ExecutionArgs | readonly GraphQLError[]>(payload: SubscribePayload, prepared: P): P {
    if (Array.isArray(prepared)) this.#deps.refusals.operation(payload, prepared[0]);
    return prepared;
  }

  /** Errors are returned, not thrown: thrown ones would close the socket, and with it every other operation. */
  #prepare(connection: WsConnection, payload: SubscribePayload): ExecutionArgs | readonly GraphQLError[] {
    try {
      if (connection.running > MAX_OPERATIONS) throw tooManyOperations();
      const { traceparent, tracestate } = payload.extensions ?? {};
      const { caller } = connection;
      this.#deps.keyLimits.request(caller);
      const unsent = this.#deps.unsent.open(connection, caller);
      const asking = {
        caller,
        traceContext: traceContextOf(traceparent, tracestate),
        address: this.#deps.addressOf(connection.request),
        unsent,
      };
      const prepared = this.#deps.operations.prepare(payload, asking);
      if ('args' in prepared && prepared.kind === 'subscription') connection.keepMessage(prepared.args.document, payload.query.length);
      return 'errors' in prepared ? prepared.errors : prepared.args;
    } catch (error) {
      return [asGraphqlError(error)];
    }
  }
}

function tooManyOperations(): HubError {
  return new HubError('RATE_LIMITED', `A connection runs at most ${MAX_OPERATIONS} operations at a time.`, RETRY_AFTER_SECONDS);
}
