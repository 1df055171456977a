import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const HOOK = join(__dirname, 'support', 'typescript-hook.js');
const CLOCK = join(__dirname, '..', 'src', 'clock.ts');

/** What a process prints whose only business is this. */
function printed(script: string): string {
  const run = `const { systemClock, sleep } = require(${JSON.stringify(CLOCK)}); ${script}`;
  return spawnSync(process.execPath, ['--require', HOOK, '--eval', run], { encoding: 'utf8' }).stdout;
}

describe('The clock of the system', () => {
  test('holds the process for work that waits in its midst', () => {
    expect(printed("sleep(systemClock, 20).then(() => console.log('went on'))")).toBe('went on\n');
  });

  test('does not hold it for what is done now and then', () => {
    expect(printed("systemClock.after(20, () => console.log('again'))")).toBe('');
  });

  test('lets who sleeps go on at once when it is told to', () => {
    const told =
      "const told = new AbortController(); sleep(systemClock, 3_600_000, told.signal).then(() => console.log('went on')); told.abort()";
    expect(printed(told)).toBe('went on\n');
  });
});
