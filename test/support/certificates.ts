import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findBinary } from './server-process';

/** PEM texts, and the files that hold them for programs that want files. */
export interface Certificate {
  readonly certificate: string;
  readonly key: string;
  readonly certificateFile: string;
  readonly keyFile: string;
}

interface Issue {
  /** DNS names or IP addresses; for a client's certificate its subject alone counts. */
  readonly names?: readonly string[];
  readonly subject?: string;
  /** Negative: it has expired. */
  readonly days?: number;
}

/** A certificate authority of the tests, in a folder of its own, with the certificates that it issues. */
export class Authority {
  readonly #folder: string;
  #issued = 0;

  static async make(): Promise<Authority> {
    const authority = new Authority(await mkdtemp(join(tmpdir(), 'livehook-certificates-')));
    authority.#openssl('req', '-x509', ...NEW_KEY, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=Tests of Livehook', '-days', '2');
    return authority;
  }

  private constructor(folder: string) {
    this.#folder = folder;
  }

  get file(): string {
    return join(this.#folder, 'ca.pem');
  }

  certificate(): Promise<string> {
    return readFile(this.file, 'utf8');
  }

  async issue({ names = ['localhost', '127.0.0.1'], subject = names[0] ?? 'client', days = 2 }: Issue = {}): Promise<Certificate> {
    const name = `issued-${++this.#issued}`;
    const alternatives = names.map((one) => `${/^[\d.]+$|:/.test(one) ? 'IP' : 'DNS'}:${one}`).join(',');
    await writeFile(join(this.#folder, `${name}.ext`), alternatives === '' ? '' : `subjectAltName=${alternatives}\n`);
    this.#openssl('req', '-new', ...NEW_KEY, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${subject}`);
    const signing = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-extfile', `${name}.ext`, '-days', String(days)];
    this.#openssl('x509', '-req', '-in', `${name}.csr`, '-out', `${name}.pem`, ...signing);
    const [certificateFile, keyFile] = [join(this.#folder, `${name}.pem`), join(this.#folder, `${name}.key`)];
    return { certificate: await readFile(certificateFile, 'utf8'), key: await readFile(keyFile, 'utf8'), certificateFile, keyFile };
  }

  remove(): Promise<void> {
    return rm(this.#folder, { recursive: true, force: true });
  }

  #openssl(...options: string[]): void {
    const { status, stderr } = spawnSync(findBinary(['openssl'], 'openssl'), options, { cwd: this.#folder, encoding: 'utf8' });
    if (status !== 0) throw new Error(`openssl ${options[0]} failed:\n${stderr}`);
  }
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
