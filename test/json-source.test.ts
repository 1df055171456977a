import { minified } from '../src/json';
import { parseKeepingPayloads } from '../src/json-source';

function payloadsOf(body: string): (string | null | undefined)[] {
  const { variables } = parseKeepingPayloads(body) as { variables: { input: { events: { payload: unknown }[] } } };
  return variables.input.events.map(({ payload }) => minified(payload));
}

describe('The text of a payload', () => {
  test.each([
    '{"b":1,"10":2,"a":3,"2":4}',
    '{"id":12345678901234567890,"price":1.50,"rate":1e-7,"big":1E400,"zero":-0}',
    '[{"9":1,"1":{"payload":{"7":1,"3":1.0}}},[1.0,[2.00]]]',
    '{"text":"a \\"quoted\\" {brace} [bracket], 1.0","1":"\\\\"}',
    '{"__proto__":{"5":1,"4":2},"é🎁":1.10}',
    '{"plain":"only"}',
    '[]',
  ])('%s stays as it is', (payload) => {
    const body = `{"query":"mutation","variables":{"input":{"events":[{"type":"a","payload":${payload}},{"payload": {"1" :\t${payload} ,\n "0": 1.0}}]}}}`;
    expect(payloadsOf(body)).toEqual([payload, `{"1":${payload},"0":1.0}`]);
  });

  test('is that of the last of two equal names', () => {
    expect(payloadsOf('{"variables":{"input":{"events":[{"payload":{"2":1.0,"1":0},"payload":{"4":1.0,"3":0}}]}}}')).toEqual([
      '{"4":1.0,"3":0}',
    ]);
  });

  test('is refused where it is no JSON', () => {
    expect(() => parseKeepingPayloads('{"payload":{"1":1.0}')).toThrow(SyntaxError);
  });
});
