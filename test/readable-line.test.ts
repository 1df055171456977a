import { readableLine } from '../src/readable-line';

const line = (facts: object, level = 30) =>
  readableLine(JSON.stringify({ level, time: '2026-01-31T12:00:00.123Z', pid: 1, ...facts })).replace(/^\d\d:00:00\.123/, 'TIME');

describe('A line of the log for people', () => {
  test('has the time, the level, the event and its facts, without quotes where none are needed', () => {
    expect(line({ events: 2, ms: 1.4, url: 'http://127.0.0.1:4000', ids: ['a'], name: 'two words', event: 'events.committed' })).toBe(
      'TIME INFO  events.committed  events=2 ms=1.4 url=http://127.0.0.1:4000 ids=["a"] name="two words"\n',
    );
    expect(line({ event: 'hub.stopped' }, 40)).toBe('TIME WARN  hub.stopped\n');
  });

  test('shows a stack below it', () => {
    expect(line({ error: 'Error: x\n    at a (b.ts:1:2)\n    at c', path: '/', event: 'request.fault' }, 50)).toBe(
      'TIME ERROR request.fault  error="Error: x" path=/\n    at a (b.ts:1:2)\n    at c\n',
    );
  });

  test('lets nothing of what strangers wrote move the cursor or feign a line', () => {
    for (const text of ['\u001b[2J', 'a\u009b2Jb', 'a\r\nb', 'Error\n\u001b[1A\u009b2K', 'x\u2028y']) {
      const shown = line({ error: text, event: 'x.y' });
      expect(shown).not.toMatch(/(?!\n)\p{Cc}|\u2028/u);
      expect(
        shown
          .split('\n')
          .slice(1, -1)
          .every((part) => part.startsWith('    ')),
      ).toBe(true);
    }
  });
});
