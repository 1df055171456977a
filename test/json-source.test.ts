import { MAX_JSON_DEPTH, payloadTextOf } from '../src/json';
import { JsonRefused, MAX_JSON_DEPTH_PER_REQUEST, parseRequest } from '../src/json-source';

const SHAPE = { variablesAt: ['variables'], mostEvents: 1_000 };

type Variables = Record<string, unknown> & {
  input: { payload: unknown; events: { payload: unknown }[] };
  p: unknown;
  events: { payload: unknown }[];
};

function variablesOf(body: string): Variables {
  return (parseRequest(body, SHAPE) as { variables: Variables }).variables;
}

const textOf = (payload: unknown) => {
  const made = payloadTextOf(payload);
  return 'text' in made ? made.text : made;
};

const PAYLOADS = [
  '{"b":1,"10":2,"a":3,"2":4}',
  '{"id":12345678901234567890,"price":1.50,"rate":1e-7,"big":1E400,"zero":-0}',
  '[{"9":1,"1":{"payload":{"7":1,"3":1.0}}},[1.0,[2.00]]]',
  '{"text":"a \\"quoted\\" {brace} [bracket], 1.0","1":"\\\\"}',
  '{"__proto__":{"5":1,"4":2},"é🎁":1.10}',
  '{"payload":{"payload":{"payload":1.0}}}',
  '{"escaped":"\\u00e9\\/","\\u0061":1}',
  '{"plain":"only"}',
  '[]',
];

describe('The text of a payload', () => {
  test.each(PAYLOADS)('%s stays as it is', (payload) => {
    const spaced = `{"1" :\t${payload} ,\n "0": 1.0}`;
    const body = `{"query":"mutation","variables":{"input":{"events":[{"type":"a","payload":${payload}},{"payload": ${spaced}}]}}}`;
    const { events } = variablesOf(body).input;
    expect(events.map((event) => textOf(event.payload))).toEqual([payload, `{"1":${payload},"0":1.0}`]);
  });

  test.each(PAYLOADS)('%s stays as it is in whatever variable', (payload) => {
    const { p, events, input } = variablesOf(
      `{"variables":{"p":${payload},"events":[{"payload":${payload}}],"input":{"payload":${payload}}},"query":"mutation"}`,
    );
    expect([p, events[0]?.payload, input.payload].map(textOf)).toEqual([payload, payload, payload]);
  });

  test('is found in the messages of a WebSocket, whose own `payload` is none', () => {
    const message = '{"id":"1","type":"subscribe","payload":{"query":"mutation","variables":{"p":{"n":1.0}}}}';
    const { payload } = parseRequest(message, { ...SHAPE, variablesAt: ['payload', 'variables'] }) as { payload: { variables: Variables } };
    expect(textOf(payload.variables.p)).toBe('{"n":1.0}');
    expect(textOf(payload)).toContain('"n":1}');
  });

  test('is that of the last of two equal names around it', () => {
    const { input } = variablesOf('{"variables":{"input":{"payload":{"2":1.0,"1":0},"payload":{"4":1.0,"3":0}}}}');
    expect(textOf(input.payload)).toBe('{"4":1.0,"3":0}');
    const { p } = variablesOf('{"variables":{"p":{"payload":{"a":1.0}}},"variables":{"p":{"payload":[2.0]}}}');
    expect(textOf(p)).toBe('{"payload":[2.0]}');
    expect(textOf((p as { payload: unknown }).payload)).toBe('[2.0]');
  });

  test.each([
    ['{"a":1,"a":2}', 'a'],
    ['{"b":{"x":1,"y":{},"x":{}}}', 'x'],
    ['[1,{"a":[{"c":1,"c":1}]}]', 'c'],
    ['{"a":1,"\\u0061":1}', 'a'],
    ['{"__proto__":1,"__proto__":1}', '__proto__'],
    ['{"1":1,"":2,"":3}', ''],
  ])('%s, which has a name twice, is refused with the name', (payload, duplicate) => {
    expect(payloadTextOf(variablesOf(`{"variables":{"p":${payload}}}`).p)).toEqual({ duplicate });
  });

  test('may have the same name in two objects, and in strings', () => {
    const payload = '{"a":{"a":"\\"a\\":1"},"b":[{"a":1.0},{"a":1}]}';
    expect(textOf(variablesOf(`{"variables":{"p":${payload}}}`).p)).toBe(payload);
  });

  test(`may be ${MAX_JSON_DEPTH} levels deep`, () => {
    const nested = (levels: number) => variablesOf(`{"variables":{"p":${'['.repeat(levels)}1.0${']'.repeat(levels)}}}`).p;
    expect(textOf(nested(MAX_JSON_DEPTH))).toContain('[1.0]');
    expect(payloadTextOf(nested(MAX_JSON_DEPTH + 1))).toEqual({ problem: 'deep' });
  });
});

describe('A request', () => {
  test('is refused where it is no JSON', () => {
    for (const text of ['{"payload":{"1":1.0}', '', '{"variables":{"p":{"a\\":1}}}', '"', '{"variables":{"\\x":{}}}'])
      expect(() => parseRequest(text, SHAPE)).toThrow(SyntaxError);
  });

  test.each(['{"variables":{"x":', '{"variables":{"payload":', '{"payload":', '[', '{"variables":[['])(
    'that goes on as it begins, with %s, is refused before it is parsed',
    (part) => {
      const levels = MAX_JSON_DEPTH_PER_REQUEST + 1;
      // Not closed, it would be a SyntaxError if it were parsed.
      expect(() => parseRequest(part.repeat(levels), SHAPE)).toThrow(JsonRefused);
    },
  );
});
