import { decodeCursor, decodeKeyCursor, encodeCursor, encodeKeyCursor } from '../src/cursor';
import { isId, newApplicationId, newWebhookId } from '../src/ids';

const mine = newApplicationId();
const other = newApplicationId();

const refused = (message: string) =>
  expect.objectContaining({ name: 'HubError', code: 'BAD_USER_INPUT', message: expect.stringContaining(message) });

function attempt(work: () => unknown): unknown {
  try {
    return work();
  } catch (error) {
    return error;
  }
}

describe('A cursor', () => {
  test('leads back to its place, in its own log of its own application only', () => {
    for (const sequence of [0, 1, 42, Number.MAX_SAFE_INTEGER])
      for (const log of ['event', 'update'] as const) expect(decodeCursor(log, mine, encodeCursor(log, mine, sequence))).toBe(sequence);
    expect(attempt(() => decodeCursor('event', mine, encodeCursor('update', mine, 1)))).toEqual(
      refused('expected a cursor of this event log'),
    );
    expect(attempt(() => decodeCursor('update', mine, encodeCursor('event', mine, 1)))).toEqual(
      refused('expected a cursor of this list of delivery updates'),
    );
    expect(attempt(() => decodeCursor('event', mine, encodeCursor('event', other, 1)))).toEqual(refused('belongs to another application'));
  });

  const raw = (text: string) => Buffer.from(text).toString('base64url');
  test.each([
    ...[
      '',
      ' ',
      'nonsense',
      'ünïcode',
      `${encodeCursor('event', mine, 1)}=`,
      ` ${encodeCursor('event', mine, 1)}`,
      `${encodeCursor('event', mine, 1)}!`,
    ],
    ...[
      raw(`event:${mine}`),
      raw(`event:${mine}:`),
      raw(`event:${mine}:-1`),
      raw(`event:${mine}:1.5`),
      raw(`event:${mine}:01`),
      raw(`event:${mine}:1e3`),
    ],
    ...[
      raw(`event:${mine}:0x10`),
      raw(`event:${mine}:1:2`),
      raw(`event:${mine}:9007199254740993`),
      raw(`event:${mine}:Infinity`),
      raw(`event:${mine}: 1`),
    ],
  ])('is refused in any other form: %j', (text) => {
    expect(attempt(() => decodeCursor('event', mine, text))).toEqual(refused('after: expected a cursor of this event log, got "'));
  });

  test('of a list is the key of a row, and must be one of that list', () => {
    const key = newWebhookId(mine);
    const isWebhook = (text: string) => isId('whk', text);
    expect(decodeKeyCursor(encodeKeyCursor(key), isWebhook)).toBe(key);
    for (const wrong of ['', key, encodeKeyCursor(mine), `${encodeKeyCursor(key)}=`, `${encodeKeyCursor(key)} `])
      expect(attempt(() => decodeKeyCursor(wrong, isWebhook))).toEqual(refused('after: expected a cursor of this list, got "'));
  });
});
