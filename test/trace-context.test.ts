import { newSpanId } from '../src/ids';
import { readTraceContext, traceContextOf, traceHeaders, writeTraceContext } from '../src/trace-context';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';
const PARENT = `00-${TRACE}-${SPAN}-01`;

describe('A trace context', () => {
  test('is kept as it came, with its state', () => {
    expect(traceContextOf(PARENT, undefined)).toBe(PARENT);
    expect(traceContextOf(PARENT, 'rojo=00f067aa0ba902b7, ,congo=t61rcWkgMzE')).toBe(`${PARENT} rojo=00f067aa0ba902b7,congo=t61rcWkgMzE`);
    expect(traceContextOf(`00-${TRACE}-${SPAN}-00`, '')).toBe(`00-${TRACE}-${SPAN}-00`);
  });

  test('keeps of the flags what the standard has given a meaning', () => {
    expect(traceContextOf(`00-${TRACE}-${SPAN}-ff`, undefined)).toBe(`00-${TRACE}-${SPAN}-03`);
  });

  test('of a later version counts for what version 00 has of it', () => {
    expect(traceContextOf(`cc-${TRACE}-${SPAN}-01-what-the-future-brings`, undefined)).toBe(PARENT);
  });

  test.each([
    ['nothing', undefined],
    ['an empty one', ''],
    ['several', `${PARENT}, ${PARENT}`],
    ['upper case', PARENT.toUpperCase()],
    ['version ff', `ff-${TRACE}-${SPAN}-01`],
    ['more than version 00 has', `${PARENT}-more`],
    ['a trace of zeros', `00-${'0'.repeat(32)}-${SPAN}-01`],
    ['a span of zeros', `00-${TRACE}-${'0'.repeat(16)}-01`],
    ['a trace too short', `00-${TRACE.slice(1)}-${SPAN}-01`],
    ['what is no text', 42],
  ])('is none for %s', (_what, traceparent) => {
    expect(traceContextOf(traceparent, 'rojo=1')).toBeNull();
  });

  test.each([
    ['without a value', 'rojo'],
    ['with a control character', 'rojo=a\tb'],
    ['with more members than may be', Array.from({ length: 33 }, (_, index) => `k${index}=v`).join(',')],
    ['longer than may be', `rojo=${'x'.repeat(508)}`],
    ['that is no text', ['rojo=1']],
  ])('drops a state %s, and nothing else', (_what, tracestate) => {
    expect(traceContextOf(PARENT, tracestate)).toBe(PARENT);
  });

  test('is the same after it was read and written', () => {
    for (const context of [PARENT, `00-${TRACE}-${SPAN}-00`, `${PARENT} rojo=1,congo=2`])
      expect(writeTraceContext(readTraceContext(context))).toBe(context);
    expect(readTraceContext(`${PARENT} rojo=1`)).toEqual({ traceId: TRACE, spanId: SPAN, isSampled: true, state: 'rojo=1' });
  });

  test('goes on with a step of its own', () => {
    expect(traceHeaders(`00-${TRACE}-${SPAN}-00 rojo=1`, 'b7ad6b7169203331')).toEqual([
      ['traceparent', `00-${TRACE}-b7ad6b7169203331-00`],
      ['tracestate', 'rojo=1'],
    ]);
    expect(traceHeaders(PARENT, 'b7ad6b7169203331')).toEqual([['traceparent', `00-${TRACE}-b7ad6b7169203331-01`]]);
  });

  test('has room in its column for the longest there can be', () => {
    const longest = traceContextOf(PARENT, `${'k'.repeat(255)}=${'v'.repeat(256)}`);
    expect(longest).toHaveLength(568);
  });
});

test('Ids of spans are 16 hexadecimal digits, each another', () => {
  const ids = Array.from({ length: 2_000 }, newSpanId);
  expect(new Set(ids).size).toBe(ids.length);
  for (const id of ids) expect(id).toMatch(/^[0-9a-f]{16}$/);
});
