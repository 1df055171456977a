import { transformSync } from '@swc/core';
import * as packageEntry from '../../src/client';
import { createSqliteDatabase } from '../support/databases';
import { example } from '../support/documentation';
import { withHub } from '../support/with-hub';

test('The example of publishing publishes', () =>
  withHub(createSqliteDatabase, async (hub) => {
    const { key, client } = await hub.application();
    Object.assign(process.env, { LIVEHOOK_URL: hub.url, LIVEHOOK_KEY: key });
    const said = jest.spyOn(console, 'log').mockImplementation(() => {});
    const { code } = transformSync(`export async function run() {${withoutImport(example('src/client/README.md', 'client'))}}`, {
      jsc: { parser: { syntax: 'typescript' }, target: 'es2022' },
      module: { type: 'commonjs' },
    });
    const module = { exports: {} as { run: () => Promise<void> } };
    new Function('module', 'exports', 'LivehookClient', code)(module, module.exports, packageEntry.LivehookClient);
    await module.exports.run();
    expect(said.mock.calls).toEqual([['stored', expect.stringMatching(/^evt_/), 1]]);
    said.mockRestore();
    const { events } = await client.query<{ events: { nodes: unknown[] } }>('{ events { nodes { type payload } } }');
    expect(events.nodes).toEqual([{ type: 'order.created', payload: { no: 'A-1', total: 49.9 } }]);
  }));

function withoutImport(text: string): string {
  const [first = '', ...rest] = text.split('\n');
  expect(first).toBe("import { LivehookClient } from 'livehook/client';");
  return rest.join('\n');
}
