import { secondsOf, ticksOf } from './cpu';
import { headerIn, readRequest } from './http-request';
import { payloadText } from './payloads';

const REQUEST = 'POST /a/b HTTP/1.1\r\nhost: x\r\nwebhook-id: evt_1\r\ncontent-length: 5\r\n\r\nhello';

describe('A receiver of the bench', () => {
  test('reads a request with its path, id and body', () => {
    const bytes = Buffer.from(REQUEST);
    const request = readRequest(bytes);
    expect(request).toMatchObject({ path: '/a/b', id: 'evt_1', end: bytes.length });
    expect(bytes.toString('utf8', request?.bodyStart, request?.end)).toBe('hello');
  });

  test('waits for the rest, wherever it is cut', () => {
    for (let length = 0; length < REQUEST.length; length++) expect(readRequest(Buffer.from(REQUEST.slice(0, length)))).toBeUndefined();
  });

  test('takes the first of several at once and says where the next begins', () => {
    const bytes = Buffer.from(REQUEST + REQUEST.replace('evt_1', 'evt_2'));
    const first = readRequest(bytes);
    expect(first?.id).toBe('evt_1');
    expect(readRequest(bytes.subarray(first?.end))).toMatchObject({ id: 'evt_2', end: REQUEST.length });
  });

  test('has no id where there is none, not even in a body', () => {
    expect(readRequest(Buffer.from('POST / HTTP/1.1\r\ncontent-length: 19\r\n\r\n\r\nwebhook-id: evt_1'))?.id).toBeUndefined();
    expect(headerIn('GET / HTTP/1.1\r\na: b', 'a')).toBe('b');
  });
});

describe('The CPU time of a process', () => {
  test('is read past a program name with spaces and parentheses', () => {
    expect(ticksOf('42 (a) b (c)) S 1 42 42 0 -1 4194304 5 0 0 0 17 4 0 0 20 0 1 0')).toBe(21);
  });

  test('is read from ps, with or without days', () => {
    expect(secondsOf('01:02:03')).toBe(3_723);
    expect(secondsOf('  2-00:00:01')).toBe(172_801);
    expect(secondsOf('0:07')).toBe(7);
  });
});

test('A payload is JSON of exactly a kilobyte, whatever its number', () => {
  for (const number of [1, 99_999, 1_000_000]) {
    const text = payloadText(number);
    expect(Buffer.byteLength(text)).toBe(1_024);
    expect(JSON.stringify(JSON.parse(text))).toBe(text);
    expect(JSON.parse(text)).toMatchObject({ order: { no: number } });
  }
});
