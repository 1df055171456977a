import { readConfig, settingLines } from '../../src/config';
import { expectContract } from '../support/contract-file';
import { tableRows } from '../support/documentation';

describe('The settings', () => {
  test('are all in .env.example, each with its default', () => {
    const lines = settingLines().map(({ name, default: fallback, description }) => `# ${description}\n# ${name}=${fallback}\n`);
    expectContract(
      '.env.example',
      `# Every setting with its default. Remove the # in front of a name to change it.\n\n${lines.join('\n')}`,
      '.',
    );
  });

  test('are all in the table of src/cli/README.md, with the same defaults, and nothing else is', () => {
    const rows = tableRows('src/cli/README.md', '| setting | default |').map(([name, value]) => [
      name?.replaceAll('`', ''),
      value?.replaceAll('`', ''),
    ]);
    expect(rows).toEqual(settingLines().map(({ name, default: fallback }) => [name, fallback === '' ? 'none' : fallback]));
  });

  test('have the defaults that they say', () => {
    const written = Object.fromEntries(settingLines().map(({ name, default: fallback }) => [name, fallback]));
    expect(readConfig(written)).toEqual(readConfig({}));
  });
});
