import { readFile, stat } from 'node:fs/promises';
import { isIP } from 'node:net';
import type { Clock } from '../clock';
import { SECOND } from '../clock';

const LOOK_MS = 5 * SECOND;

/** Where the system keeps the addresses of names that no name server has to be asked for. */
export function systemHostsFile(): string {
  return process.platform === 'win32' ? 'C:\\Windows\\System32\\drivers\\etc\\hosts' : '/etc/hosts';
}

/** The names of a hosts file, read again within seconds after it has changed. */
export class HostsFile {
  readonly #path: string;
  readonly #clock: Clock;
  #addresses: ReadonlyMap<string, readonly string[]> = new Map();
  #version = '';
  #lookAt = Number.NEGATIVE_INFINITY;
  #looking: Promise<void> | undefined;

  constructor(path: string, clock: Clock) {
    this.#path = path;
    this.#clock = clock;
  }

  /** Undefined where the file does not name it. `hostname` is in lower case. */
  async addressesOf(hostname: string): Promise<readonly string[] | undefined> {
    if (this.#clock.monotonic() >= this.#lookAt)
      this.#looking ??= this.#look().finally(() => {
        this.#looking = undefined;
      });
    await this.#looking;
    return this.#addresses.get(hostname);
  }

  async #look(): Promise<void> {
    this.#lookAt = this.#clock.monotonic() + LOOK_MS;
    try {
      const { mtimeMs, size } = await stat(this.#path);
      const version = `${mtimeMs} ${size}`;
      if (version === this.#version) return;
      this.#addresses = parseHosts(await readFile(this.#path, 'utf8'));
      this.#version = version;
    } catch {
      this.#addresses = new Map(); // a system without one
      this.#version = '';
    }
  }
}

/** Pure: an address and its names on each line. */
export function parseHosts(text: string): Map<string, string[]> {
  const addresses = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const [address = '', ...names] = line.replace(/#.*/, '').trim().split(/\s+/);
    if (isIP(address) === 0) continue;
    for (const name of names.map((each) => each.toLowerCase())) {
      const known = addresses.get(name);
      if (known === undefined) addresses.set(name, [address]);
      else if (!known.includes(address)) known.push(address);
    }
  }
  return addresses;
}
