import { execFileSync } from 'node:child_process';
import { completionOf } from '../../src/cli/completion';
import { createProgram } from '../../src/cli/program';

/** What bash offers for a line whose last word is being typed. */
function offered(...words: string[]): string[] {
  const script = `${completionOf(createProgram(), 'bash')}
COMP_WORDS=(livehook "$@"); COMP_CWORD=$#; _livehook; printf '%s\\n' "\${COMPREPLY[@]}"`;
  return execFileSync('bash', ['-c', script, 'bash', ...words], { encoding: 'utf8' })
    .trim()
    .split('\n');
}

describe('The completion of the command line', () => {
  test('offers commands, their commands, and their options', () => {
    expect(offered('')).toEqual(expect.arrayContaining(['serve', 'publish', 'webhooks', 'keys']));
    expect(offered('pub')).toEqual(['publish']);
    expect(offered('keys', '')).toEqual(expect.arrayContaining(['create', 'list', 'revoke']));
    expect(offered('webhooks', 'create', 'url=https://example.com', '--in')).toEqual(['--input']);
    expect(offered('--json', 'publish', 'order.created', '--id')).toEqual(['--idempotency-key']);
    expect(offered('nonsense', '')).toEqual(expect.arrayContaining(['serve']));
  });

  test.each(['zsh', 'fish'] as const)('knows every command in %s', (shell) => {
    const text = completionOf(createProgram(), shell);
    for (const command of createProgram().commands) expect(text).toContain(command.name());
    expect(text).toContain('idempotency-key');
  });
});
