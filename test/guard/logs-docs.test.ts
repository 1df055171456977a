import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { LOG_EVENTS } from '../../src/log';
import { tableRows } from '../support/documentation';

const SOURCES = join(__dirname, '..', '..', 'src');

/** Each event with the levels at which it may be logged. */
const LEVELS = new Map<string, string[]>();
for (const [level, events] of Object.entries(LOG_EVENTS))
  for (const event of events) LEVELS.set(event, [...(LEVELS.get(event) ?? []), level]);

describe('The events in the log', () => {
  // The compiler refuses a name that is not listed, and a level that is not its own.
  test('have a row each on the page on observability: level, meaning, what to do; and nothing else has', () => {
    const rows = tableRows('src/observe/README.md', '| `event` | level |');
    expect(Object.fromEntries(rows.map(([event, level]) => [event?.replaceAll('`', ''), level]))).toEqual(
      Object.fromEntries([...LEVELS].map(([event, levels]) => [event, levels.join(', ')])),
    );
    expect(rows).toHaveLength(LEVELS.size);
    expect(rows.filter((cells) => cells.length !== 4 || cells.includes(''))).toEqual([]);
  });

  test('are all logged somewhere', () => {
    const files = readdirSync(SOURCES, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts') && file !== 'log.ts');
    const source = files.map((file) => readFileSync(join(SOURCES, file), 'utf8')).join('\n');
    expect([...LEVELS.keys()].filter((event) => !source.includes(`'${event}'`))).toEqual([]);
  });
});
