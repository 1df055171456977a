import { at } from '../../src/events/path';

const payload = JSON.parse(
  '{"order":{"no":"A1","lines":[{"sku":"x"},{"sku":"y","tags":[]}],"total":0,"paid":false,"note":null,"":{"":1},"0":"zero"},"__proto__":{"own":true}}',
) as unknown;

describe('A path', () => {
  test.each([
    ['order.no', 'A1'],
    ['order.lines.0.sku', 'x'],
    ['order.lines.1.tags', []],
    ['order.lines.01.sku', 'y'],
    ['order.total', 0],
    ['order.paid', false],
    ['order.0', 'zero'],
    ['order..', 1],
    ['__proto__.own', true],
  ])('%s leads to what is there', (path, value) => {
    expect(at(payload, path)).toEqual(value);
  });

  test.each([
    'order.note',
    'order.missing',
    'order.lines.2',
    'order.lines.-1',
    'order.lines.length',
    'order.lines.1e0',
    'order.no.length',
    'order.no.0',
    'order.constructor',
    'order.toString',
    'order.__proto__',
    'toString',
    '',
    '.',
    'order.',
  ])('%j leads to nothing', (path) => {
    if (path !== 'order.') expect(at(payload, path)).toBeNull();
    else expect(at(payload, path)).toEqual({ '': 1 }); // an empty key is a key
  });

  test('leads nowhere in what has no parts', () => {
    for (const value of [null, 1, 'text', true]) expect(at(value, 'a')).toBeNull();
    expect(at([['deep']], '0.0')).toBe('deep');
  });
});
