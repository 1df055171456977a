import type { IncomingMessage, ServerResponse } from 'node:http';
import { ApolloServer, HeaderMap } from '@apollo/server';
import { ApolloServerPluginCacheControlDisabled, ApolloServerPluginLandingPageDisabled } from '@apollo/server/plugin/disabled';
import { GraphQLError, type GraphQLSchema } from 'graphql';
import type { Log } from '../log';
import { callerOf } from './bearer';
import { type Context, createContext } from './context';
import { costProblem, LIMITS, limitRules } from './limits';
import { presentError } from './present-error';
import { parseJson, readBody } from './request-body';
import type { Services } from './services';

interface Deps {
  readonly schema: GraphQLSchema;
  readonly services: Services;
  readonly log: Log;
}

/** Queries and mutations over plain HTTP, by the GraphQL-over-HTTP specification. */
export class GraphqlHttp {
  readonly #deps: Deps;
  readonly #apollo: ApolloServer<Context>;

  constructor(deps: Deps) {
    this.#deps = deps;
    const { schema, log } = deps;
    this.#apollo = new ApolloServer<Context>({
      schema,
      introspection: true,
      allowBatchedHttpRequests: false,
      includeStacktraceInErrorResponses: false,
      stopOnTerminationSignals: false,
      parseOptions: { maxTokens: LIMITS.tokens },
      validationRules: [...limitRules],
      // Apollo hands its own errors over bare, and with codes of their own.
      formatError: (formatted, error) => (error instanceof GraphQLError ? presentError(error, log) : formatted),
      plugins: [
        ApolloServerPluginCacheControlDisabled(), // it would wrap every resolver
        ApolloServerPluginLandingPageDisabled(),
        {
          requestDidStart: async () => ({
            async didResolveOperation({ document, request, operationName }) {
              const problem = costProblem(schema, document, request.variables ?? {}, operationName ?? undefined);
              if (problem) throw problem;
            },
          }),
        },
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

/** To clients that ask for plain `application/json`, a well-formed GraphQL answer is a 200 whatever it says. */
function legacyStatus(status: number, contentType: string | undefined, content: string): number {
  const isLegacy = contentType?.startsWith('application/json') ?? false;
  return status === 400 &&
    isLegacy &&
    /"code":"(GRAPHQL_PARSE_FAILED|GRAPHQL_VALIDATION_FAILED|BAD_USER_INPUT|OPERATION_RESOLUTION_FAILURE)"/.test(content)
    ? 200
    : status;
}

function headerMap({ headers }: IncomingMessage): HeaderMap {
  const map = new HeaderMap();
  for (const [name, value] of Object.entries(headers))
    if (value !== undefined) map.set(name, Array.isArray(value) ? value.join(', ') : value);
  return map;
}
