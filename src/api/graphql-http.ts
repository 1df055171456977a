import type { IncomingMessage, ServerResponse } from 'node:http';
import { ApolloServer, type ApolloServerPlugin, HeaderMap } from '@apollo/server';
import { ApolloServerPluginCacheControlDisabled, ApolloServerPluginLandingPageDisabled } from '@apollo/server/plugin/disabled';
import { GraphQLError, type GraphQLSchema } from 'graphql';
import type { Log } from '../log';
import { callerOf } from './bearer';
import { type Context, createContext } from './context';
import { LIMITS } from './limits';
import type { Operations } from './operations';
import { asGraphqlError, presentError } from './present-error';
import { parseJson, readBody } from './request-body';
import type { Services } from './services';

interface Deps {
  readonly schema: GraphQLSchema;
  readonly operations: Operations;
  readonly services: Services;
  readonly log: Log;
}

/** Queries and mutations over plain HTTP, by the GraphQL-over-HTTP specification. */
export class GraphqlHttp {
  readonly #deps: Deps;
  readonly #apollo: ApolloServer<Context>;

  constructor(deps: Deps) {
    this.#deps = deps;
    const { schema, operations, log } = deps;
    this.#apollo = new ApolloServer<Context>({
      schema,
      introspection: true,
      allowBatchedHttpRequests: false,
      persistedQueries: false,
      csrfPrevention: false, // a browser sends no key by itself: there are no cookies to abuse
      includeStacktraceInErrorResponses: false,
      stopOnTerminationSignals: false,
      parseOptions: { maxTokens: LIMITS.tokens },
      dangerouslyDisableValidation: true, // `judging` does it, as for the other transports
      formatError: (_formatted, error) => presentError(asGraphqlError(error), log),
      plugins: [
        ApolloServerPluginCacheControlDisabled(), // it would wrap every resolver
        ApolloServerPluginLandingPageDisabled(),
        judging(operations),
      ],
      logger: {
        debug() {},
        info() {},
        warn: (message) => log.warn({ message }, 'apollo'),
        error: (message) => log.error({ message }, 'apollo'),
      },
    });
  }

  start(): Promise<void> {
    return this.#apollo.start();
  }

  stop(): Promise<void> {
    return this.#apollo.stop();
  }

  async handle(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const { services } = this.#deps;
    const isJson = /^application\/(graphql\+)?json\b/i.test(request.headers['content-type'] ?? '');
    const text = request.method === 'POST' ? await readBody(request) : '';
    const body = request.method === 'POST' && isJson ? parseJson(text) : text;
    const caller = await callerOf(services.apiKeys, request.headers.authorization);
    const answer = await this.#apollo.executeHTTPGraphQLRequest({
      httpGraphQLRequest: { method: request.method ?? 'GET', headers: headerMap(request), search: url.search, body },
      context: async () => createContext(services, caller, { isLasting: false }),
    });
    for (const [name, value] of answer.headers) response.setHeader(name, value);
    const content = answer.body.kind === 'complete' ? answer.body.string : '';
    response.statusCode = legacyStatus(answer.status ?? 200, answer.headers.get('content-type'), content);
    response.setHeader('content-length', Buffer.byteLength(content));
    response.end(content);
  }
}

/** Refuses what `Operations` refuses. Not in Apollo's `validationRules`: the limits must come before the other rules. */
function judging(operations: Operations): ApolloServerPlugin<Context> {
  return {
    requestDidStart: async () => ({
      responseForOperation: async ({ document, request, operation }) => {
        const wrong = operations.judge(document, request, { hasOwnVariableCheck: true });
        const errors = wrong.length === 0 && operation?.operation === 'subscription' ? [needsStream()] : wrong;
        if (errors.length === 0) return null;
        return {
          http: { status: 400, headers: new HeaderMap() },
          body: { kind: 'single', singleResult: { errors: operations.present(errors) } },
        };
      },
    }),
  };
}

function needsStream(): GraphQLError {
  const message = 'A subscription needs a WebSocket (graphql-transport-ws) or server-sent events (accept: text/event-stream).';
  return new GraphQLError(message, { extensions: { code: 'BAD_REQUEST' } });
}

const REFUSED_OPERATION: ReadonlySet<unknown> = new Set([
  'GRAPHQL_PARSE_FAILED',
  'GRAPHQL_VALIDATION_FAILED',
  'BAD_USER_INPUT',
  'OPERATION_RESOLUTION_FAILURE',
]);

/** To clients that ask for plain `application/json`, the answer to a well-formed request is a 200 whatever it says. */
function legacyStatus(status: number, contentType: string | undefined, content: string): number {
  if (status !== 400 || !contentType?.startsWith('application/json')) return status;
  const { errors } = JSON.parse(content) as { errors: { extensions?: { code?: unknown } }[] };
  return REFUSED_OPERATION.has(errors[0]?.extensions?.code) ? 200 : status;
}

function headerMap({ headers }: IncomingMessage): HeaderMap {
  const map = new HeaderMap();
  for (const [name, value] of Object.entries(headers))
    if (value !== undefined) map.set(name, Array.isArray(value) ? value.join(', ') : value);
  return map;
}
