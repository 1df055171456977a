import {
  type Context,
  createTraceState,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  BasicTracerProvider,
  BatchSpanProcessor,
  type IdGenerator,
  ParentBasedSampler,
  RandomIdGenerator,
  type SpanExporter,
  TraceIdRatioBasedSampler,
} from '@opentelemetry/sdk-trace-base';
import { type Clock, SECOND, sleep } from '../clock';
import type { Verdict } from '../delivery/completion/settle';
import { HubError } from '../errors';
import type { AppendedEvent, AppendRequest } from '../events/append';
import type { Event } from '../events/event';
import type { Log } from '../log';
import { readTraceContext, type TraceContext, writeTraceContext } from '../trace-context';
import { VERSION } from '../version';

interface Deps {
  readonly instanceId: string;
  readonly clock: Clock;
  readonly log: Log;
  /** The base URL of a collector, e.g. `http://127.0.0.1:4318`. */
  readonly endpoint: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Of the traces that begin here, from 0 to 1, how many are recorded; publishers decide over theirs. */
  readonly ratio: number;
  /** What the operator marks the traces with, the service's name among it. */
  readonly attributes: Readonly<Record<string, string>>;
}

type Append = (request: AppendRequest) => Promise<readonly AppendedEvent[]>;

/** What waits for the collector; beyond it spans are dropped. */
const MAX_WAITING = 8_192;
const MAX_AN_EXPORT = 1_024;
const EXPORT_EVERY_MS = 2 * SECOND;
const EXPORT_MS = 5 * SECOND;
/** How long shutting down waits for the collector. */
const LAST_WORDS_MS = 2 * SECOND;
/** Of publishes that share a commit, how many its span names. */
const MAX_LINKS = 128;

/** Spans for a collector, over OTLP: `publish`, the `commit` that it shared, and `deliver` for each attempt. */
export class Tracing {
  readonly #deps: Deps;
  readonly #ids = new Ids();
  readonly #provider: BasicTracerProvider;
  readonly #tracer: Tracer;

  constructor(deps: Deps) {
    this.#deps = deps;
    const { endpoint, headers, ratio, attributes, instanceId, log } = deps;
    const url = `${endpoint.replace(/\/+$/, '')}/v1/traces`;
    const exporter = new OTLPTraceExporter({ url, headers: { ...headers }, timeoutMillis: EXPORT_MS });
    this.#provider = new BasicTracerProvider({
      resource: resourceFromAttributes({ 'service.version': VERSION, 'service.instance.id': instanceId, ...attributes }),
      sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(ratio) }),
      idGenerator: this.#ids,
      spanProcessors: [
        new BatchSpanProcessor(reporting(exporter, log), {
          maxQueueSize: MAX_WAITING,
          maxExportBatchSize: MAX_AN_EXPORT,
          scheduledDelayMillis: EXPORT_EVERY_MS,
          exportTimeoutMillis: EXPORT_MS,
        }),
      ],
    });
    this.#tracer = this.#provider.getTracer('livehook', VERSION);
  }

  /** Appends as a step of the publisher's trace, or of a new one; attempts follow from that step. */
  async publish(request: AppendRequest, append: Append): Promise<readonly AppendedEvent[]> {
    const { clock } = this.#deps;
    const { applicationId, events, traceContext } = request;
    const [startedAt, began] = [clock.now(), clock.monotonic()];
    const publisher = traceContext ? readTraceContext(traceContext) : undefined;
    const span = this.#tracer.startSpan(
      'publish',
      {
        kind: SpanKind.SERVER,
        startTime: timeOf(startedAt),
        attributes: { 'livehook.application.id': applicationId, 'livehook.events': events.length },
      },
      publisher ? under(publisher) : ROOT_CONTEXT,
    );
    try {
      return await append({ ...request, traceContext: contextOf(span, publisher?.state ?? '') });
    } catch (error) {
      fail(span, error instanceof HubError ? error.code : (error as Error).name);
      throw error;
    } finally {
      span.end(timeOf(startedAt + clock.monotonic() - began));
    }
  }

  /** A commit belongs to the first of the publishes that share it, and names the others. */
  committed(stored: readonly Event[], { durationMs, endedAt }: { readonly durationMs: number; readonly endedAt: number }): void {
    const contexts = new Set<string>();
    for (const { traceContext } of stored) if (traceContext !== null && contexts.size <= MAX_LINKS) contexts.add(traceContext);
    const [first, ...others] = [...contexts].map(readTraceContext).filter(({ isSampled }) => isSampled);
    if (first === undefined) return;
    this.#tracer
      .startSpan(
        'commit',
        {
          startTime: timeOf(endedAt - durationMs),
          attributes: { 'livehook.events': stored.length },
          links: others.map((context) => ({ context: spanContextOf(context) })),
        },
        under(first),
      )
      .end(timeOf(endedAt));
  }

  /** An attempt's span is made once it has ended, with the id that its request has told the receiver. */
  attempted(verdicts: readonly Verdict[]): void {
    for (const { finished, status, endedAt } of verdicts) {
      const { job, webhook, request, exchange, startedAt } = finished;
      const publish = job.event.traceContext === null ? undefined : readTraceContext(job.event.traceContext);
      const sent = request.headers.find(([name]) => name === 'traceparent')?.[1];
      if (!publish?.isSampled || sent === undefined) continue;
      this.#ids.next = readTraceContext(sent).spanId;
      const span = this.#tracer.startSpan(
        'deliver',
        {
          kind: SpanKind.CLIENT,
          startTime: timeOf(startedAt),
          attributes: {
            'http.request.method': 'POST',
            ...targetAttributes(request.url),
            ...(exchange.statusCode !== null && { 'http.response.status_code': exchange.statusCode }),
            'livehook.event.id': job.event.id,
            'livehook.event.type': job.event.type,
            'livehook.webhook.id': webhook.id,
            'livehook.delivery.id': job.deliveryId,
            'livehook.delivery.status': status,
            'livehook.attempt': job.attemptCount + 1,
            'livehook.outcome': exchange.outcome,
          },
        },
        under(publish),
      );
      if (exchange.outcome !== 'SUCCESS') fail(span, exchange.outcome, errorTypeOf(exchange));
      span.end(timeOf(endedAt));
    }
  }

  /** Hands over what there is; a collector that does not answer holds nothing up for long. */
  async stop(): Promise<void> {
    const { clock, log } = this.#deps;
    const told = new AbortController();
    const shutdown = this.#provider.shutdown().catch((error: Error) => log.warn({ error: error.message }, 'traces.not_exported'));
    await Promise.race([shutdown, sleep(clock, LAST_WORDS_MS, told.signal)]);
    told.abort();
  }
}

/** Random ids, but for a span whose id is known already. */
class Ids implements IdGenerator {
  readonly #random = new RandomIdGenerator();
  next: string | undefined;

  generateTraceId = (): string => this.#random.generateTraceId();

  generateSpanId = (): string => {
    const id = this.next ?? this.#random.generateSpanId();
    this.next = undefined;
    return id;
  };
}

/** Says when exports begin to fail, and when they succeed again. */
function reporting(exporter: SpanExporter, log: Log): SpanExporter {
  let isFailing = false;
  return {
    export(spans, done) {
      exporter.export(spans, (result) => {
        const hasFailed = result.error !== undefined;
        if (hasFailed && !isFailing) log.warn({ spans: spans.length, error: result.error?.message }, 'traces.not_exported');
        if (!hasFailed && isFailing) log.info({ spans: spans.length }, 'traces.exported_again');
        isFailing = hasFailed;
        done(result);
      });
    },
    shutdown: () => exporter.shutdown(),
  };
}

function under(context: TraceContext): Context {
  return trace.setSpanContext(ROOT_CONTEXT, spanContextOf(context));
}

function spanContextOf({ traceId, spanId, isSampled, state }: TraceContext) {
  const traceFlags = isSampled ? TraceFlags.SAMPLED : TraceFlags.NONE;
  return { traceId, spanId, traceFlags, isRemote: true, ...(state !== '' && { traceState: createTraceState(state) }) };
}

function contextOf(span: Span, state: string): string {
  const { traceId, spanId, traceFlags } = span.spanContext();
  return writeTraceContext({ traceId, spanId, isSampled: (traceFlags & TraceFlags.SAMPLED) !== 0, state });
}

const DEFAULT_PORTS: Readonly<Record<string, number>> = { 'http:': 80, 'https:': 443 };

/** By OpenTelemetry's conventions for HTTP clients. Values of the query may be secrets; targets have no credentials in their URLs. */
function targetAttributes(text: string): { 'server.address': string; 'server.port'?: number; 'url.full': string } {
  const url = new URL(text);
  const port = url.port === '' ? DEFAULT_PORTS[url.protocol] : Number(url.port);
  const address = url.hostname.replace(/^\[|\]$/g, '');
  url.search = url.search.replace(/=[^&]*/g, `=${REDACTED}`);
  url.hash = '';
  return { 'server.address': address, ...(port !== undefined && { 'server.port': port }), 'url.full': url.href };
}

const REDACTED = 'REDACTED';

/** The status where that is what was wrong. */
function errorTypeOf({ outcome, statusCode }: Verdict['finished']['exchange']): string {
  return statusCode !== null && (outcome === 'HTTP_ERROR' || outcome === 'REDIRECT') ? String(statusCode) : outcome;
}

function fail(span: Span, cause: string, errorType = cause): void {
  span.setStatus({ code: SpanStatusCode.ERROR, message: cause });
  span.setAttribute('error.type', errorType);
}

/** Milliseconds since the epoch as OpenTelemetry has them: seconds and nanoseconds. */
function timeOf(ms: number): [number, number] {
  return [Math.floor(ms / 1_000), Math.floor((ms % 1_000) * 1e6)];
}
