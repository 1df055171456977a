import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildSchema, parse, validate } from 'graphql';
import { APPLICATION, APPLICATION_CREATE, KEY_CREATE, WEBHOOK_CREATE, WEBHOOK_DELETE } from '../../src/cli/dev';
import { LivehookClient } from '../../src/client';
import { Command } from '../support/command';

const schema = buildSchema(readFileSync(join(__dirname, '..', '..', 'schema', 'schema.graphql'), 'utf8'));

test.each([APPLICATION, APPLICATION_CREATE, KEY_CREATE, WEBHOOK_CREATE, WEBHOOK_DELETE])(
  'The schema has what livehook dev asks for: %s',
  (document) => {
    expect(validate(schema, parse(document))).toEqual([]);
  },
);

test('livehook dev shows deliveries arriving, in one command, and again on what it has made', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'livehook-dev-'));
  try {
    const first = new Command(['dev'], { PORT: '0' }, folder);
    const shown = await first.prints(/received {2}order\.created {2}#1 {2}\{"no":"A-1"/);
    const [, url = '', key = ''] = /Dashboard +(\S+)\/#key=(\S+)/.exec(shown) ?? [];
    const client = new LivehookClient({ url, key });
    await client.publish({ type: 'invoice.paid', payload: { no: 7 } });
    await first.prints(/received {2}invoice\.paid {2}#2 {2}\{"no":7\}/);
    await client.close();
    first.kill('SIGINT');
    expect(await first.ended()).toMatchObject({ code: 0, err: '' });

    const second = new Command(['dev', '--no-example'], { PORT: '0' }, folder);
    const again = await second.prints(/livehook publish order\.created/);
    const [, publish = ''] = /--key (\S+)/.exec(again) ?? [];
    const [, newUrl = ''] = /--url (\S+)/.exec(again) ?? [];
    const other = new LivehookClient({ url: newUrl, key: publish });
    await other.publish({ type: 'order.created', payload: 1 });
    await second.prints(/received {2}order\.created {2}#3 {2}1\n/);
    await other.close();
    second.kill('SIGTERM');
    expect((await second.ended()).code).toBe(0);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
