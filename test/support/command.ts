import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

const HOOK = join(__dirname, 'typescript-hook.js');
const MAIN = join(__dirname, '..', '..', 'src', 'main.ts');

export interface Ended {
  /** The exit status; null when a signal ended it. */
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** The `livehook` command as a process of its own, from the sources. */
export class Command {
  readonly #child: ChildProcess;
  readonly #ended: Promise<Ended>;
  #out = '';
  #err = '';
  readonly #waiting = new Set<() => void>();

  /** On a terminal, which puts standard output and standard error together; by `script` of util-linux. */
  static onTerminal(args: readonly string[], environment: Readonly<Record<string, string>>, folder: string): Command {
    const words = [process.execPath, '--require', HOOK, MAIN, ...args].map((word) => `'${word}'`);
    return new Command(['-qefc', `exec ${words.join(' ')}`, '/dev/null'], { TERM: 'xterm', ...environment }, folder, 'script');
  }

  /** `environment` is all that it gets, beside what node needs to start. */
  constructor(
    args: readonly string[],
    environment: Readonly<Record<string, string>> = {},
    folder?: string,
    program: 'livehook' | 'script' = 'livehook',
    input?: string,
  ) {
    const { PATH = '' } = process.env;
    const [file, all] = program === 'script' ? [program, args] : [process.execPath, ['--require', HOOK, MAIN, ...args]];
    this.#child = spawn(file, all, {
      env: { PATH, ...environment },
      stdio: [program === 'script' || input !== undefined ? 'pipe' : 'ignore', 'pipe', 'pipe'],
      ...(folder !== undefined && { cwd: folder }),
    });
    if (input !== undefined) this.#child.stdin?.end(input);
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#out += text;
      for (const look of this.#waiting) look();
    });
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#err += text;
    });
    this.#ended = once(this.#child, 'close').then(([code]) => ({ code: code as number | null, out: this.#out, err: this.#err }));
  }

  /** What it printed on standard output, once that matches; rejects when the process ends before. */
  async prints(pattern: RegExp): Promise<string> {
    const printed = new Promise<string>((resolve) => {
      const look = () => {
        if (!pattern.test(this.#out)) return;
        this.#waiting.delete(look);
        resolve(this.#out);
      };
      this.#waiting.add(look);
      look();
    });
    const early = this.#ended.then(({ code, out, err }) => {
      if (pattern.test(out)) return out;
      throw new Error(`ended with ${code} before it printed ${pattern}:\n${out}${err}`);
    });
    return Promise.race([printed, early]);
  }

  /** On a terminal: presses keys. */
  type(keys: string): void {
    this.#child.stdin?.write(keys);
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  ended(): Promise<Ended> {
    return this.#ended;
  }
}

export function run(args: readonly string[], environment: Readonly<Record<string, string>> = {}, folder?: string): Promise<Ended> {
  return new Command(args, environment, folder).ended();
}
