import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';

/** Addresses, IPv4 or IPv6; no such name; or nothing at all. */
export type DnsAnswer = readonly string[] | 'unknown' | 'silent';

const TYPE_A = 1;
const TYPE_AAAA = 28;
const NXDOMAIN = 3;

/** A name server on loopback that says what a test wants it to say. */
export class DnsServer {
  /** Every question so far: the name in lower case, and the type. */
  readonly questions: string[] = [];
  readonly #socket: Socket;

  static async listen(answer: (name: string, type: 'A' | 'AAAA') => DnsAnswer): Promise<DnsServer> {
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    return new DnsServer(socket, answer);
  }

  private constructor(socket: Socket, answer: (name: string, type: 'A' | 'AAAA') => DnsAnswer) {
    this.#socket = socket;
    socket.on('message', (query, { port, address }) => {
      const { name, type, end } = readQuestion(query);
      const kind = type === TYPE_AAAA ? 'AAAA' : 'A';
      this.questions.push(`${name} ${kind}`);
      const said = answer(name, kind);
      if (said !== 'silent') socket.send(response(query.subarray(0, end), type, said), port, address);
    });
  }

  /** As a setting takes it. */
  get address(): string {
    return `127.0.0.1:${(this.#socket.address() as AddressInfo).port}`;
  }

  close(): void {
    this.#socket.close();
  }
}

function readQuestion(query: Buffer): { name: string; type: number; end: number } {
  const labels: string[] = [];
  let at = 12;
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join('.').toLowerCase(), type: query.readUInt16BE(at + 1), end: at + 5 };
}

function response(question: Buffer, type: number, said: readonly string[] | 'unknown'): Buffer {
  const family = type === TYPE_A ? '.' : ':';
  const records = said === 'unknown' ? [] : said.filter((address) => address.includes(family)).map((address) => record(type, address));
  const head = Buffer.from(question);
  head.writeUInt16BE(0x8180 | (said === 'unknown' ? NXDOMAIN : 0), 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(records.length, 6);
  head.writeUInt32BE(0, 8);
  return Buffer.concat([head, ...records]);
}

function record(type: number, address: string): Buffer {
  const data = type === TYPE_A ? Buffer.from(address.split('.').map(Number)) : ipv6(address);
  const head = Buffer.alloc(12);
  head.writeUInt16BE(0xc00c, 0); // the name of the question
  head.writeUInt16BE(type, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt32BE(0, 6);
  head.writeUInt16BE(data.length, 10);
  return Buffer.concat([head, data]);
}

function ipv6(address: string): Buffer {
  const [left = '', right = ''] = address.split('::');
  const groups = (text: string) => text.split(':').filter((group) => group !== '');
  const missing = 8 - groups(left).length - groups(right).length;
  const all = [...groups(left), ...Array<string>(missing).fill('0'), ...groups(right)];
  return Buffer.from(all.map((group) => group.padStart(4, '0')).join(''), 'hex');
}
