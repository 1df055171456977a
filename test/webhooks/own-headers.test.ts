import { masked } from '../../src/webhooks/header-mask';
import { openHeaders, plainHeaders, sealedHeaders, withStoredValues } from '../../src/webhooks/own-headers';
import { Seal } from '../../src/webhooks/seal';

const seal = new Seal(Buffer.alloc(32, 1));
const id = 'whk_1';
const headers = [
  { name: 'Authorization', value: 'Bearer 0123456789' },
  { name: 'x-short', value: 'short' },
];

test.each([
  ['', '••••'],
  ['1234567', '••••'],
  ['12345678', '••••5678'],
  ['Bearer 0123456789', '••••6789'],
  ['••••6789', '••••6789'],
  ['••••', '••••'],
])('the value %j shows as %s', (value, shown) => {
  expect(masked(value)).toBe(shown);
});

describe('Own headers', () => {
  test('are stored as masks, with their values sealed for their webhook', () => {
    const stored = sealedHeaders(seal, id, headers);
    expect(stored.storedHeaders).toEqual([
      { name: 'Authorization', value: '••••6789' },
      { name: 'x-short', value: '••••' },
    ]);
    expect(JSON.stringify(stored)).not.toMatch(/Bearer|short"}/);
    expect(openHeaders(seal, { id, ...stored })).toEqual(headers);
    expect(() => openHeaders(seal, { id: 'whk_2', ...stored })).toThrow();
  });

  test('are those that version 0.1 has written since, where it has', () => {
    const newer = [{ name: 'authorization', value: 'Bearer 9876543210' }];
    const { sealedHeaders: former } = sealedHeaders(seal, id, headers);
    expect(openHeaders(seal, { id, storedHeaders: newer, sealedHeaders: former })).toEqual(newer);
    expect(openHeaders(seal, { id, storedHeaders: [], sealedHeaders: former })).toEqual([]);
    expect(openHeaders(seal, { id, ...plainHeaders(headers) })).toEqual(headers);
  });

  test('keep their values when they come back as they were shown', () => {
    const given = [
      { name: 'authorization', value: '••••6789' },
      { name: 'X-Short', value: '••••' },
      { name: 'x-new', value: 'a new value' },
    ];
    expect(withStoredValues(given, headers)).toEqual([
      { name: 'authorization', value: 'Bearer 0123456789' },
      { name: 'X-Short', value: 'short' },
      { name: 'x-new', value: 'a new value' },
    ]);
  });

  test.each([
    ['another value', { name: 'authorization', value: '••••0000' }, 'the stored one shows as another'],
    ['another header', { name: 'x-other', value: '••••6789' }, 'none of this name is stored'],
  ])('refuse the mask of %s', (_, given, message) => {
    expect(() => withStoredValues([given], headers)).toThrow(message);
  });

  test('are bounded with the values that masks stand for', () => {
    const stored = [{ name: 'x-long', value: 'x'.repeat(4_000) }];
    const given = [
      { name: 'x-long', value: '••••xxxx' },
      { name: 'x-more', value: 'y'.repeat(100) },
    ];
    expect(() => withStoredValues(given, stored)).toThrow('expected at most 4096 characters in all, got 4112');
  });
});
