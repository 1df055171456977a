import type { IncomingMessage, ServerResponse } from 'node:http';
import { ApolloServer, type ApolloServerPlugin, HeaderMap } from '@apollo/server';
import { ApolloServerPluginCacheControlDisabled, ApolloServerPluginLandingPageDisabled } from '@apollo/server/plugin/disabled';
import { type ExecutionResult, GraphQLError, type GraphQLFormattedError, type GraphQLSchema } from 'graphql';
import type { Caller } from '../applications/api-keys';
import type { Clock } from '../clock';
import { isLongRequest } from '../json-source';
import type { Log } from '../log';
import { traceContextOf } from '../trace-context';
import { type Admission, admit } from './admit';
import type { AddressOf } from './client-address';
import type { Meter } from './cpu-budget';
import type { GraphqlSse } from './graphql-sse';
import type { Identify } from './identify';
import type { Holding, Intake } from './intake';
import { LIMITS } from './limits';
import type { Accepted, JsonType } from './negotiate';
import { operationIn, operationInUrl } from './operation-request';
import { type Asking, mayBeSubscription, type OperationRequest, type Operations, rateLimitOf, tooLongWithoutKey } from './operations';
import { asGraphqlError, presentError } from './present-error';
import type { Refusals } from './refusals';
import { BadRequest, parseJson, parseJsonInTurns, readBody } from './request-body';
import { whenClosed } from './respond';
import type { Services } from './services';

interface Deps {
  readonly schema: GraphQLSchema;
  readonly operations: Operations;
  readonly services: Services;
  /** For subscriptions of clients that take a stream as well. */
  readonly sse: GraphqlSse;
  readonly identify: Identify;
  readonly addressOf: AddressOf;
  readonly intake: Intake;
  readonly refusals: Refusals;
  readonly log: Log;
}

/** Of a client that takes JSON. */
type AcceptedJson = Accepted & { readonly json: JsonType };

interface Received {
  readonly caller: Caller | null;
  readonly holding: Holding;
  /** Of a caller without a valid key. */
  readonly meter: Meter | undefined;
  readonly body: unknown;
  readonly operation: OperationRequest | undefined;
  readonly chars: number;
}

/** Queries and mutations over plain HTTP, by the GraphQL-over-HTTP specification. */
export class GraphqlHttp {
  readonly #deps: Deps;
  readonly #admission: Admission;
  readonly #apollo: ApolloServer<Asking>;
  /** Of requests without a valid key. */
  readonly #meters = new WeakMap<Asking, Meter>();

  constructor(deps: Deps) {
    this.#deps = deps;
    const { schema, services, log, identify, intake, refusals } = deps;
    this.#admission = { keyLimits: services.keyLimits, identify, intake, refusals };
    this.#apollo = new ApolloServer<Asking>({
      schema,
      introspection: true,
      allowBatchedHttpRequests: false,
      persistedQueries: false,
      csrfPrevention: false, // a browser sends no key by itself: there are no cookies to abuse
      includeStacktraceInErrorResponses: false,
      stopOnTerminationSignals: false,
      parseOptions: { maxTokens: LIMITS.tokens },
      dangerouslyDisableValidation: true, // `running` does it, as for the other transports
      formatError: (_formatted, error) => presentError(asGraphqlError(error), log),
      plugins: [
        ApolloServerPluginCacheControlDisabled(), // it would wrap every resolver
        ApolloServerPluginLandingPageDisabled(),
        running(deps, this.#meters),
        metering(this.#meters, services.clock),
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

  async handle(request: IncomingMessage, response: ServerResponse, url: URL, accepted: AcceptedJson): Promise<void> {
    const { services, operations, sse, addressOf } = this.#deps;
    const { caller, holding, meter, body, operation, chars } = await this.#read(request, response, url);
    const known = operation && isPlain(body) ? operations.knownIntrospection(operation, caller) : undefined;
    if (known !== undefined) return sendAs(response, accepted.json, known);
    if (operation && (await this.#isSubscription(operation, meter))) {
      if (!accepted.stream) throw new BadRequest(406, NEEDS_STREAM);
      const checked = request.method === 'POST' ? operationIn(body) : operationInUrl(url);
      return sse.serve(request, response, { caller, holding, operation: checked });
    }
    const traceContext = traceContextOf(request.headers.traceparent, request.headers.tracestate);
    const unsent = services.unsent.open(request.socket, caller);
    whenClosed(response, () => unsent.release());
    const asking: Asking = { caller, traceContext, address: addressOf(request), unsent, requestChars: chars };
    if (meter) this.#meters.set(asking, meter);
    const answer = await this.#apollo.executeHTTPGraphQLRequest({
      httpGraphQLRequest: { method: request.method ?? 'GET', headers: HEADERS[accepted.json], search: searchOf(url), body },
      context: async () => asking,
    });
    for (const [name, value] of answer.headers) response.setHeader(name, value);
    const content = answer.body.kind === 'complete' ? answer.body.string : '';
    response.statusCode = legacyStatus(answer.status ?? 200, answer.headers.get('content-type'), content);
    const bytes = Buffer.from(content);
    if (response.destroyed) unsent.release();
    else unsent.made(bytes.length);
    response.setHeader('content-length', bytes.length);
    response.end(bytes);
  }

  async #read(request: IncomingMessage, response: ServerResponse, url: URL): Promise<Received> {
    const { services, refusals } = this.#deps;
    const { caller, holding } = await admit(this.#admission, request, response);
    const text = request.method === 'POST' ? await readBody(request, holding) : '';
    const meter = caller === null ? this.#meter(text, url) : undefined;
    const inQuery = request.method === 'POST' ? null : url.searchParams.get('variables');
    const parse = () => {
      if (inQuery) parseJson(inQuery, []); // Apollo reads them itself, however deep they are
      return request.method === 'POST' ? parseJson(text) : text;
    };
    const read = () => (isLongRequest(text) ? parseJsonInTurns(text, { slices: services.slices, caller }) : parse());
    const body = meter ? meter.run(parse) : await read();
    const operation = operationOf(body, url);
    const tooLong = operation && tooLongWithoutKey(operation.query, caller);
    if (tooLong) {
      refusals.operation(operation, tooLong);
      throw new BadRequest(413, tooLong.message);
    }
    return { caller, holding, meter, body, operation, chars: text.length + url.search.length };
  }

  #meter(text: string, url: URL): Meter {
    const { operations, refusals } = this.#deps;
    try {
      return operations.meterUnauthenticated(text + url.search);
    } catch (error) {
      refusals.body(text, error);
      throw error;
    }
  }

  async #isSubscription(operation: OperationRequest, meter: Meter | undefined): Promise<boolean> {
    const { operations } = this.#deps;
    if (!mayBeSubscription(operation.query)) return false;
    await operations.turnToJudge(operation.query);
    const judge = () => operations.isSubscription(operation);
    return meter ? meter.run(judge) : judge();
  }
}

/** Refuses what `Operations` refuses, and leaves running the rest to it. Not in Apollo's `validationRules`: the limits must come before the other rules. */
function running({ schema, operations, refusals }: Deps, meters: WeakMap<Asking, Meter>): ApolloServerPlugin<Asking> {
  return {
    requestDidStart: async () => ({
      responseForOperation: async ({ document, request, operation, contextValue: asking }) => {
        const { variables, operationName } = request;
        const meter = meters.get(asking);
        const metered = <T>(work: () => T): T => (meter ? meter.run(work) : work());
        await operations.turnToJudge(document);
        const wrong = metered(() =>
          operations.judge(document, request, asking.caller, { hasOwnVariableCheck: true, requestChars: asking.requestChars }),
        );
        const errors =
          wrong.length === 0 && operation?.operation === 'subscription'
            ? [new GraphQLError(NEEDS_STREAM, { extensions: { code: 'BAD_REQUEST' } })]
            : wrong;
        if (errors.length > 0) refusals.operation({ query: request.query ?? '', variables }, errors[0]);
        if (errors.length > 0 || !operation) return single(400, operations.presentResult({ errors }));
        const contextValue = operations.contextOf(document, operation.operation, asking);
        const args = { schema, document, variableValues: variables, operationName, contextValue };
        const result = await metered(() => operations.execute(args));
        if (result.data === undefined) refusals.operation({ query: request.query ?? '', variables }, result.errors?.[0]);
        await operations.turnFor(contextValue.budget);
        return single(statusOf(result), operations.presentResult(result));
      },
    }),
  };
}

/** A query that was ended since there was no room for its answer may be tried again, as one that was not begun. */
function statusOf(result: ExecutionResult): number | undefined {
  if (result.data === undefined) return 400; // its variables are wrong
  return rateLimitOf(result) ? 429 : undefined;
}

function single(
  status: number | undefined,
  { data, errors }: { data?: ExecutionResult['data']; errors?: readonly GraphQLFormattedError[] },
) {
  const retryAfter = status === 429 ? errors?.[0]?.extensions?.retryAfter : undefined;
  return {
    http: { status, headers: new HeaderMap(retryAfter === undefined ? [] : [['retry-after', String(retryAfter)]]) },
    body: { kind: 'single' as const, singleResult: { ...(data !== undefined && { data }), ...(errors && { errors }) } },
  };
}

/** Apollo parses: what that takes is known only from outside. */
function metering(meters: WeakMap<Asking, Meter>, clock: Clock): ApolloServerPlugin<Asking> {
  return {
    requestDidStart: async ({ contextValue }) => {
      const meter = meters.get(contextValue);
      if (!meter) return {};
      return {
        parsingDidStart: async () => {
          const began = clock.monotonic();
          return async () => meter.add(clock.monotonic() - began);
        },
      };
    },
  };
}

/** Undefined: there is none, which Apollo finds out, too. */
function operationOf(body: unknown, { searchParams }: URL): OperationRequest | undefined {
  if (typeof body !== 'object' || body === null) {
    const query = searchParams.get('query');
    return query === null ? undefined : { query, operationName: searchParams.get('operationName') || undefined };
  }
  const { query, variables, operationName } = body as Record<string, unknown>;
  if (typeof query !== 'string' || (operationName !== undefined && operationName !== null && typeof operationName !== 'string'))
    return undefined;
  return { query, operationName, variables: variables as OperationRequest['variables'] };
}

/** Nothing that Apollo would have to look at. */
function isPlain(body: unknown): boolean {
  if (typeof body !== 'object' || body === null) return false;
  const { variables = null, extensions } = body as Record<string, unknown>;
  return extensions === undefined && typeof variables === 'object' && !Array.isArray(variables);
}

function sendAs(response: ServerResponse, mediaType: string, data: string): void {
  response.setHeader('content-type', mediaType);
  response.setHeader('cache-control', 'no-store');
  response.setHeader('content-length', Buffer.byteLength(data));
  response.end(data);
}

const NEEDS_STREAM = 'A subscription needs a WebSocket (graphql-transport-ws) or server-sent events (accept: text/event-stream).';

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

/** To Apollo, an empty name is one that the document has not; to the specification it is none. */
function searchOf({ search, searchParams }: URL): string {
  if (searchParams.get('operationName') !== '') return search;
  const named = new URLSearchParams(searchParams);
  named.delete('operationName');
  return `?${named}`;
}

/** What Apollo looks at: that a body is JSON, which it is, and one media type, which was found to be the best. */
const HEADERS = {
  // Without an Accept it answers in this one, and has nothing to negotiate: that was 0.7 % of a publish.
  'application/json; charset=utf-8': new HeaderMap([['content-type', 'application/json']]),
  'application/graphql-response+json; charset=utf-8': new HeaderMap([
    ['content-type', 'application/json'],
    ['accept', 'application/graphql-response+json; charset=utf-8'],
  ]),
} as const satisfies Record<JsonType, HeaderMap>;
