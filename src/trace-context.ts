/*
 * W3C Trace Context (https://www.w3.org/TR/trace-context/): which trace of its publisher an event belongs to. Kept as one
 * text of a fixed form, `00-<32 trace>-<16 span>-<2 flags>`, with a space and the `tracestate` behind it where one came.
 */

export interface TraceContext {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** 16 hexadecimal digits. */
  readonly spanId: string;
  readonly isSampled: boolean;
  /** What others have put beside it; '' for nothing. */
  readonly state: string;
}

const PARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
/** Sampled, and whether the trace's id is random: those that the standard has given a meaning. */
const KNOWN_FLAGS = 0b11;
const SAMPLED = 0b01;
const NOTHING = /^0+$/;

const MAX_STATE_CHARS = 512;
const MAX_STATE_MEMBERS = 32;
const STATE_MEMBER = /^[a-z0-9][a-z0-9_*/@-]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]$/;

/** The context that two headers name; null where the standard says to go on as if there were none. */
export function traceContextOf(traceparent: unknown, tracestate: unknown): string | null {
  if (typeof traceparent !== 'string') return null;
  const [, version, traceId = '', spanId = '', flags = '', more] = PARENT.exec(traceparent) ?? [];
  if (version === undefined || version === 'ff' || (version === '00' && more !== undefined)) return null;
  if (NOTHING.test(traceId) || NOTHING.test(spanId)) return null;
  const known = (Number.parseInt(flags, 16) & KNOWN_FLAGS).toString(16).padStart(2, '0');
  const state = typeof tracestate === 'string' ? stateOf(tracestate) : '';
  return `00-${traceId}-${spanId}-${known}${state === '' ? '' : ` ${state}`}`;
}

/** A wrong `tracestate` counts for nothing, and takes nothing else with it. */
function stateOf(text: string): string {
  if (text.length > MAX_STATE_CHARS) return '';
  const members = text
    .split(',')
    .map((member) => member.trim())
    .filter((member) => member !== '');
  return members.length <= MAX_STATE_MEMBERS && members.every((member) => STATE_MEMBER.test(member)) ? members.join(',') : '';
}

const SPAN_AT = '00-'.length + 32 + 1;
const FLAGS_AT = SPAN_AT + 16 + 1;
const STATE_AT = FLAGS_AT + 2 + 1;

export function readTraceContext(context: string): TraceContext {
  return {
    traceId: context.slice(3, SPAN_AT - 1),
    spanId: context.slice(SPAN_AT, FLAGS_AT - 1),
    isSampled: (Number.parseInt(context.slice(FLAGS_AT, STATE_AT - 1), 16) & SAMPLED) === SAMPLED,
    state: context.slice(STATE_AT),
  };
}

export function writeTraceContext({ traceId, spanId, isSampled, state }: TraceContext): string {
  return `00-${traceId}-${spanId}-${isSampled ? '01' : '00'}${state === '' ? '' : ` ${state}`}`;
}

/** The headers that take a trace on to the next service, as a step of their own with the id `spanId`. */
export function traceHeaders(context: string, spanId: string): readonly (readonly [name: string, value: string])[] {
  const parent = `${context.slice(0, SPAN_AT)}${spanId}${context.slice(FLAGS_AT - 1, STATE_AT - 1)}`;
  const state = context.slice(STATE_AT);
  return state === ''
    ? [['traceparent', parent]]
    : [
        ['traceparent', parent],
        ['tracestate', state],
      ];
}
