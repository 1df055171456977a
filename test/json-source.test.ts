import fc from 'fast-check';
import { at } from '../src/events/path';
import { MAX_JSON_DEPTH, payloadTextOf } from '../src/json';
import {
  JsonRefused,
  MAX_JSON_DEPTH_PER_REQUEST,
  notesOf,
  Oversized,
  parseRequest,
  parseRequestInTurns,
  plainJson,
  textAt,
  Unparsed,
} from '../src/json-source';

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

describe('The text of a part of a payload', () => {
  const payload = '{"no":12345678901234567890,"a":{"b":[1.0,{"c.d":1,"c":2.50,"":[]},[]],"":{"x":-0}},"\\u00e9":"\\/","n":null,"2":true}';
  test.each([
    ['no', '12345678901234567890'],
    ['a.b.0', '1.0'],
    ['a.b.1.c', '2.50'],
    ['a.b.1.', '[]'],
    ['a.b.1', '{"c.d":1,"c":2.50,"":[]}'],
    ['a.b.02', '[]'],
    ['a..x', '-0'],
    ['é', '"\\/"'],
    ['n', 'null'],
    ['2', 'true'],
  ])('at %s is %s', (path, text) => {
    expect(textAt(payload, path)).toBe(text);
  });

  test.each(['x', '', 'no.x', 'a.b.3', 'a.b.-1', 'a.b.1.c.d', 'a.b.2.0', 'n.x', 'é.0', 'a.b.x', 'a.b.0.0', '0'])(
    'at %s there is none',
    (path) => {
      expect(textAt(payload, path)).toBeUndefined();
    },
  );

  test('is that of what is there, whatever it is', () => {
    const names = fc.constantFrom('a', 'b', '0', '1', '2', 'x"y', '\\', 'toString');
    const { json } = fc.letrec((tie) => ({
      json: fc.oneof(
        { maxDepth: 4 },
        fc.constantFrom(null, true, 1, -1.5, '', 'a,b', '{"a":[', ']}'),
        fc.array(tie('json')),
        fc.dictionary(names, tie('json')),
      ),
    }));
    fc.assert(
      fc.property(json, fc.array(names, { minLength: 1, maxLength: 4 }), (value, path) => {
        expect(JSON.parse(textAt(JSON.stringify(value), path.join('.')) ?? 'null')).toEqual(
          at(JSON.parse(JSON.stringify(value)), path.join('.')),
        );
      }),
    );
  });
});

describe('The text of a number or string', () => {
  const notedOf = (body: string) => {
    const { variables } = parseRequest(body, SHAPE) as { variables: Variables };
    return { variables, exact: notesOf(variables)?.exact };
  };

  test.each(['null', '1.0', '12345678901234567890', '-0', '1e5', '1E400', '"\\u00e9\\/"'])(
    '%s is noted where it is a variable or a payload',
    (text) => {
      const { variables, exact } = notedOf(
        `{"variables":{"p" : ${text},"input":{"type":"a","\\u0070ayload":${text}},"events":[{"payload":\n${text}}, {"payload":1}]}}`,
      );
      expect(exact?.get(variables)?.get('p')).toBe(text);
      expect(exact?.get(variables.input)?.get('payload')).toBe(text);
      expect(exact?.get(variables.events[0] as object)?.get('payload')).toBe(text);
      expect(exact?.get(variables.events[1] as object)).toBeUndefined();
    },
  );

  test.each(['1', '-1.5', '0', '"plain é"', 'true', '""'])('%s, which JavaScript writes alike, needs no note', (text) => {
    expect(notedOf(`{"query":"\\n","variables":{"p":${text},"input":{"payload":${text}}}}`).exact).toBeUndefined();
  });

  test('is that of the last of two equal names', () => {
    const { variables, exact } = notedOf('{"variables":{"p":1.0,"p":2.0,"q":1.0,"q":2}}');
    expect([...(exact?.get(variables) ?? [])]).toEqual([['p', '2.0']]);
  });
});

describe('A request that is parsed in turns', () => {
  const inTurns = async (text: string) => {
    const turns: number[] = [];
    const turn = (chars: number) => {
      turns.push(chars);
      return undefined;
    };
    const root = await parseRequestInTurns(text, SHAPE, { turn, jsonVariables: () => new Set(['q']) });
    return { root, turns };
  };
  const parsed = (value: unknown): unknown => {
    const plain = plainJson(value);
    if (typeof plain !== 'object' || plain === null) return plain;
    for (const [name, part] of Object.entries(plain)) Object.assign(plain, { [name]: parsed(part) });
    return plain;
  };

  test.each([
    ...PAYLOADS.map(
      (payload) =>
        `{"query":"q","variables":{"p":${payload},"input":{"payload":${payload}},"events":[{"payload":${payload}},{"payload": [${payload}]}]}}`,
    ),
    '{"variables":{"p":{"payload":{"a":1}},"p":{"payload":[2.0]}},"variables":{"p":{"x":{"payload":{"y":[]}}}}}',
    '{"variables":{"p":{"payload":{"a":1}},"p":2}}',
    '{"variables":{"__proto__":{"payload":{"__proto__":[1]}}}}',
    '{"variables":[{"payload":{"a":[1.0]}},[{"payload":[]}]]}',
    '[{"variables":{"p":{}}}]',
    '{"variables":null}',
    '1',
  ])('is what it is when it is parsed at once: %s', async (text) => {
    const { root: asRead } = await inTurns(text);
    const root = parsed(asRead);
    const atOnce = parseRequest(text, SHAPE);
    expect(root).toEqual(atOnce);
    expect(JSON.stringify(root)).toBe(JSON.stringify(atOnce));
    const textsOf = (value: unknown): unknown[] =>
      typeof value === 'object' && value !== null ? [payloadTextOf(value), ...Object.values(value).flatMap(textsOf)] : [];
    expect(textsOf(root)).toEqual(textsOf(atOnce));
  });

  test('has the whole of a variable that is JSON as one text, whatever is named `payload` in it', async () => {
    const q = '{"payload":{"a":1.0},"events":[{"payload":[2.0]}]}';
    const { root } = await inTurns(`{"variables":{"q":${q},"r":{"payload":{"x":[]}}}}`);
    const { variables } = root as { variables: Variables & { q: unknown } };
    expect(textOf(variables.q)).toBe(q);
    expect(notesOf(variables)?.unparsed).toHaveLength(2);
  });

  test('takes a turn for each payload', async () => {
    const payload = `{"n":[${'1.0,'.repeat(1_000)}1]}`;
    const { turns } = await inTurns(`{"variables":{"events":[${Array(5).fill(`{"payload":${payload}}`).join()}]}}`);
    expect(turns.filter((chars) => chars === payload.length)).toHaveLength(5);
  });

  test.each([
    '{"variables":{"p":{"payload":[1}}}',
    '{"variables":{"p":{"a":1,{"payload":{}}:2}}}',
    '{"variables":{"p":{"payload":1,{}:2}}}',
    '{"variables":{"p":{"payload" {}}}}',
    '{"variables":{"p":5{}}}',
    '{"variables":{"p":[{}{}]}}',
    '{"variables":{"p":{"payload":{"a":}}}}',
    '{"variables":{"p":{"payload":{}}',
    '{"variables":{"p":{}}} 1',
  ])('is refused where it is no JSON: %s', async (text) => {
    expect(() => JSON.parse(text)).toThrow(SyntaxError);
    await expect(inTurns(text)).rejects.toThrow(SyntaxError);
  });

  const long = (chars: number) => `[${'1,'.repeat(chars / 2)}1]`;

  test('has nothing in the place of what is longer than any payload may be', async () => {
    const { root } = await inTurns(
      `{"variables":{"p":${long(2 ** 20 + 10)},"q":${long(2 ** 19)},"events":[{"payload":${long(2 ** 20 + 10)}},{"payload":[1.0]}]}}`,
    );
    const { variables } = root as { variables: Variables & { q: unknown[] } };
    expect(variables.p).toBeInstanceOf(Oversized);
    expect(variables.events[0]?.payload).toBeInstanceOf(Oversized);
    expect(payloadTextOf(variables.events[0]?.payload)).toEqual({ problem: 'long' });
    expect(textOf(variables.events[1]?.payload)).toBe('[1.0]');
    expect(variables.q).toBeInstanceOf(Unparsed);
    expect(plainJson(variables.q)).toHaveLength(2 ** 18 + 1);
    expect(notesOf(variables)?.oversized).toBe(2);
  });

  test('may have strings, white space and lists of payloads of any length', async () => {
    const string = JSON.stringify('\\"é'.repeat(2 ** 19));
    const text = `{"query":${string},"variables":{"p":{"payload":${string}},"q":[${'1\n\n\n\n\n\n\n,'.repeat(2 ** 18)}1],"events":[${Array(
      900,
    )
      .fill(`{"payload":${long(2_000)}}`)
      .join()}]}}`;
    const { root } = await inTurns(text);
    expect(JSON.stringify(parsed(root)) === JSON.stringify(JSON.parse(text))).toBe(true);
  });

  test('is refused for what is too long beside variables', async () => {
    await expect(inTurns(`{"variables":{},"extensions":${long(2 ** 20 + 10)}}`)).rejects.toThrow(JsonRefused);
    await expect(inTurns(`{"variables":{${'"a":1.0,'.repeat(60_000)}"b":1}}`)).rejects.toThrow('expected at most 50000 payloads');
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
