import type { Writable } from 'node:stream';
import * as ws from 'ws';
import { textFrame } from '../../src/api/text-frame';

/** Its types leave out what reads frames. */
const { Receiver } = ws as unknown as { Receiver: new (options: { isServer: boolean }) => Writable };

/** As a client of ws reads it. */
function read(bytes: Buffer): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const messages: string[] = [];
    const receiver = new Receiver({ isServer: false });
    receiver.on('message', (data: Buffer, isBinary: boolean) => messages.push(isBinary ? 'binary' : data.toString()));
    receiver.on('error', reject);
    receiver.write(bytes, () => resolve(messages));
  });
}

test.each([0, 1, 125, 126, 127, 65_535, 65_536, 1_000_000])('a text of %i bytes arrives as it is', async (length) => {
  const text = 'x'.repeat(length);
  expect(await read(textFrame([Buffer.from(text)]))).toEqual([text]);
});

test('parts make one message, and several frames are read apart', async () => {
  const frames = [textFrame([Buffer.from('{"n":'), Buffer.from('"é漢𝄞"'), Buffer.from('}')]), textFrame([Buffer.from('two')])];
  expect(await read(Buffer.concat(frames))).toEqual(['{"n":"é漢𝄞"}', 'two']);
});
