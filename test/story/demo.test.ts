import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { githubPayloads } from '../../src/demo/payloads';
import type { Alteration } from '../../src/demo/receiver';
import { type DemoOptions, run } from '../../src/demo/run';
import type { Output } from '../../src/demo/screen';
import { until } from '../support/until';

/** Takes what the demo prints. */
class Paper implements Output {
  readonly isTTY: boolean;
  readonly columns = 100;
  readonly #hasColors: boolean;
  text = '';

  constructor({ isTerminal = false, hasColors = false } = {}) {
    this.isTTY = isTerminal;
    this.#hasColors = hasColors;
  }

  write(text: string): void {
    this.text += text;
  }

  hasColors(): boolean {
    return this.#hasColors;
  }

  async shows(what: RegExp): Promise<void> {
    await until(() => what.test(this.text), { description: `${what} on paper` });
  }

  /** The cells of a row of the closing table. */
  row(label: string): string[] {
    const line = this.text.split('\n').find((candidate) => candidate.trim().startsWith(label)) ?? '';
    return line.trim().slice(label.length).trim().split(/\s+/);
  }

  count(what: RegExp): number {
    return [...this.text.matchAll(what)].length;
  }
}

const PUSHES = githubPayloads().filter(({ type }) => type === 'github.push');
const FEW = [...githubPayloads().slice(0, 10), ...PUSHES];

async function play(options: Partial<DemoOptions> = {}): Promise<{ code: number; paper: Paper }> {
  const paper = new Paper();
  const code = await run({ out: paper, isOnce: false, stop: new AbortController().signal, ...options });
  return { code, paper };
}

/** Plays until `work` is done and stops it then. Returns the exit code. */
async function playUntil(paper: Paper, options: Partial<DemoOptions>, work: () => Promise<void>): Promise<number> {
  const stop = new AbortController();
  const playing = run({ out: paper, isOnce: false, stop: stop.signal, ...options });
  try {
    await work();
  } finally {
    stop.abort();
    await playing;
  }
  return playing;
}

/** Damages the first request of each event that `pushes` gets. */
function firstOf(damage: (body: Buffer) => Buffer | null): Alteration {
  const seen = new Set<string>();
  return (body, webhook, eventId) => {
    if (webhook !== 'pushes' || seen.has(eventId)) return body;
    seen.add(eventId);
    return damage(body);
  };
}

function withOneBitFlipped(body: Buffer): Buffer {
  const copy = Buffer.from(body);
  const at = copy.length - 3;
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}

async function foldersLeft(): Promise<string[]> {
  return (await readdir(tmpdir())).filter((name) => name.startsWith('livehook-demo-')).sort();
}

describe('The demo', () => {
  test('delivers all real payloads, shows each delivery, balances, and leaves nothing behind', async () => {
    const before = await foldersLeft();
    const { code, paper } = await play();
    expect(paper.text).toContain('✓ It balances.');
    expect(code).toBe(0);

    const all = githubPayloads().length;
    const pushes = PUSHES.length;
    const deliveries = 2 * all + pushes;
    expect(all).toBeGreaterThan(300);
    expect(paper.row('events published')).toEqual([`${all}`]);
    for (const label of ['deliveries wanted', 'delivered', 'seen to succeed, live'])
      expect(paper.row(label)).toEqual([`${all}`, `${all}`, `${pushes}`, `${deliveries}`]);
    expect(paper.row('retried')).toEqual(['0', '2', '0', '2']);
    for (const label of ['requests received', 'signatures verified', 'data byte-equal to the payload'])
      expect(paper.row(label)).toEqual([`${all}`, `${all + 2}`, `${pushes}`, `${deliveries + 2}`]);
    for (const label of ['p50, publish to receipt', 'p99, publish to receipt'])
      expect(paper.row(label).join(' ')).toMatch(/^([\d.]+ ms ?){4}$/);

    expect(paper.count(/ github\.\w+…? +\w+ +\d +204 delivered/g)).toBe(deliveries);
    expect(paper.count(/flaky +1 +503 retry in 1\.\d s/g)).toBe(2);
    expect(paper.count(/flaky +2 +204 delivered/g)).toBe(2);
    expect(paper.text).not.toContain('\x1b');
    expect(await foldersLeft()).toEqual(before);
  });

  test('on a terminal it keeps a progress bar, goes on serving and shows what comes, until it is stopped', async () => {
    const paper = new Paper({ isTerminal: true, hasColors: true });
    let url = '';
    const code = await playUntil(paper, { payloads: FEW }, async () => {
      await paper.shows(/It goes on serving[\s\S]*GraphiQL and watch/);
      expect(paper.text).toMatch(/█.* 100%/);
      expect(paper.text).toContain('\x1b[32m✓ It balances.\x1b[0m');
      url = /http:\/\/127\.0\.0\.1:\d+(?=\/graphql)/.exec(paper.text)?.[0] ?? '';
      const key = /lhk_[\w-]+/.exec(paper.text)?.[0];
      const query = 'mutation { eventPublish(input: { type: "order.created", payload: {} }) { event { sequence } } }';
      const response = await fetch(`${url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
        body: JSON.stringify({ query }),
      });
      expect(response.status).toBe(200);
      await paper.shows(/order\.created +archive +1 +204 delivered/);
    });
    expect(code).toBe(0);
    await expect(fetch(`${url}/healthz`)).rejects.toThrow();
  });

  test('with --once it ends by itself on a terminal, too, and without colours where they are not wanted', async () => {
    const paper = new Paper({ isTerminal: true });
    const { code } = await play({ out: paper, isOnce: true, payloads: FEW });
    expect(code).toBe(0);
    expect(paper.text).not.toContain('It goes on serving');
    expect(paper.text.replaceAll('\x1b[2K', '')).not.toContain('\x1b');
  });

  test('a request that was changed on its way fails its signature, and the demo with it', async () => {
    const { code, paper } = await play({ payloads: PUSHES, alter: firstOf(withOneBitFlipped) });
    expect(code).toBe(1);
    expect(paper.text).toContain('It does not balance');
    expect(paper.text).toContain(`pushes: signatures that standardwebhooks refused: ${PUSHES.length} of ${2 * PUSHES.length}`);
    expect(paper.text).toContain(`pushes: data not equal to what was published: ${PUSHES.length}`);
    expect(paper.count(/pushes +1 +401 retry in/g)).toBe(PUSHES.length);
  });

  test('a request that was answered but lost is missed', async () => {
    const { code, paper } = await play({ payloads: PUSHES, alter: firstOf(() => null) });
    expect(code).toBe(1);
    expect(paper.row('delivered')[2]).toBe('0');
    expect(paper.text).toContain(`pushes: not delivered: ${PUSHES.length}`);
  });

  test('it gives up at its time limit and names what is missing', async () => {
    const { code, paper } = await play({ timeLimitMs: 2_000 });
    expect(code).toBe(1);
    expect(paper.text).toContain('the time limit of 2 s is up');
    expect(paper.text).toMatch(/published: \d+ of \d+ events are missing/);
  });

  test('stopped before the end, it says so and cleans up', async () => {
    const before = await foldersLeft();
    const paper = new Paper();
    const code = await playUntil(paper, {}, () => paper.shows(/204 delivered/));
    expect(code).toBe(130);
    expect(paper.text).toContain('Stopped before the end.');
    expect(await foldersLeft()).toEqual(before);
  });
});
