import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type ExecutionArgs, GraphQLError } from 'graphql';
import { CloseCode } from 'graphql-ws';
import { useServer } from 'graphql-ws/use/ws';
import { WebSocketServer } from 'ws';
import type { ApiKeys, Caller } from '../applications/api-keys';
import { callerOf } from './bearer';
import { LIMITS } from './limits';
import type { Operations } from './operations';

interface Deps {
  readonly operations: Operations;
  readonly apiKeys: ApiKeys;
}

type SocketExtra = { caller?: Caller; stopWatching?: () => void };

const CONNECTION_INIT_MS = 10_000;
const GOING_AWAY = 1001;

/** Every kind of operation over `graphql-transport-ws`. */
export class GraphqlWs {
  readonly #deps: Deps;
  readonly #sockets: WebSocketServer;
  readonly #disposable: { dispose: () => void | Promise<void> };

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#sockets = new WebSocketServer({
      noServer: true,
      maxPayload: LIMITS.requestBytes,
      perMessageDeflate: false, // it costs more memory and time a socket than it saves
      clientTracking: true,
      handleProtocols: (protocols) => (protocols.has('graphql-transport-ws') ? 'graphql-transport-ws' : false),
    });
    this.#disposable = useServer<Record<string, unknown>, SocketExtra & Record<PropertyKey, unknown>>(
      {
        connectionInitWaitTimeout: CONNECTION_INIT_MS,
        onConnect: async (ctx) => {
          const { extra } = ctx;
          const caller = await callerOf(deps.apiKeys, ctx.connectionParams?.authorization ?? extra.request.headers.authorization);
          if (caller === null) {
            extra.socket.close(CloseCode.Unauthorized, 'Unauthorized');
            return false;
          }
          extra.caller = caller;
          extra.stopWatching = deps.apiKeys.watch(caller, () => extra.socket.close(CloseCode.Unauthorized, 'The key has ended'));
          if (extra.socket.readyState !== extra.socket.OPEN) extra.stopWatching();
          return true;
        },
        onDisconnect: ({ extra }) => extra.stopWatching?.(),
        onClose: ({ extra }) => extra.stopWatching?.(),
        // Returned, not thrown: an error thrown here closes the socket, and every other operation on it.
        onSubscribe: (ctx, _id, payload): ExecutionArgs | readonly GraphQLError[] => this.#prepare(payload, ctx.extra.caller ?? null),
        onNext: (_ctx, _id, _payload, _args, { errors, ...result }) =>
          errors ? { ...result, errors: deps.operations.present(errors) } : undefined,
        onError: (_ctx, _id, _payload, errors) => deps.operations.present(errors),
      },
      this.#sockets,
    );
  }

  get sockets(): number {
    return this.#sockets.clients.size;
  }

  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.#sockets.handleUpgrade(request, socket, head, (client) => this.#sockets.emit('connection', client, request));
  }

  /** Closes every socket as going away: clients reconnect with their cursor, to another instance. */
  async stop(): Promise<void> {
    for (const client of this.#sockets.clients) client.close(GOING_AWAY, 'Going away');
    await this.#disposable.dispose();
    for (const client of this.#sockets.clients) client.terminate();
  }

  #prepare(
    payload: { query?: unknown; variables?: unknown; operationName?: unknown },
    caller: Caller | null,
  ): ExecutionArgs | readonly GraphQLError[] {
    const { query, variables, operationName } = payload;
    if (typeof query !== 'string') return [new GraphQLError('expected `query`, the text of a GraphQL document')];
    const prepared = this.#deps.operations.prepare(
      {
        query,
        variables: variables as Record<string, unknown> | null | undefined,
        operationName: operationName as string | null | undefined,
      },
      caller,
    );
    return 'errors' in prepared ? prepared.errors : prepared.args;
  }
}
