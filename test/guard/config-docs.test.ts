import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readConfig, settingLines } from '../../src/config';
import { expectContract } from '../support/contract-file';

const README = readFileSync(join(__dirname, '..', '..', 'README.md'), 'utf8');

/** The rows below the head of the table of settings. */
const TABLE = /^\| setting \| default \|.*\n((?:\|.*\n)+)/m.exec(README)?.[1] ?? '';

describe('The settings', () => {
  test('are all in .env.example, each with its default', () => {
    const lines = settingLines().map(({ name, default: fallback, description }) => `# ${description}\n# ${name}=${fallback}\n`);
    expectContract(
      '.env.example',
      `# Every setting with its default. Remove the # in front of a name to change it.\n\n${lines.join('\n')}`,
      '.',
    );
  });

  test('are all in the table of the README, with the same defaults, and nothing else is', () => {
    const rows = [...TABLE.matchAll(/^\| (`[A-Z][A-Z_`, ]+`) \| ([^|]*) \|/gm)].flatMap(([, names = '', defaults = '']) => {
      const values = defaults.split(/, (?=`)/);
      return [...names.matchAll(/`([A-Z_]+)`/g)].map(([, name], index) => [name, (values[index] ?? '').replaceAll('`', '').trim()]);
    });
    expect(rows).toEqual(settingLines().map(({ name, default: fallback }) => [name, fallback === '' ? 'none' : fallback]));
  });

  test('have the defaults that they say', () => {
    const written = Object.fromEntries(settingLines().map(({ name, default: fallback }) => [name, fallback]));
    expect(readConfig(written)).toEqual(readConfig({}));
  });
});
