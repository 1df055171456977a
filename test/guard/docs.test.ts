import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { pages } from '../support/documentation';

const ROOT = join(__dirname, '..', '..');
const MAX_README_BYTES = 10 * 1024;

const PAGES = pages();

/** Without fenced blocks, in which nothing is a link or a heading. */
const proseOf = (text: string) => text.replace(/^(```|~~~).*\n[\s\S]*?^\1.*$/gm, '');

/** The anchors that GitHub gives the headings of a page. */
function anchorsOf(path: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, heading = ''] of proseOf(readFileSync(path, 'utf8')).matchAll(/^#{1,6} (.+)$/gm)) {
    const plain = heading
      .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .trim()
      .toLowerCase();
    const slug = plain.replace(/[^\p{L}\p{N}\p{M}_ -]/gu, '').replaceAll(' ', '-');
    let anchor = slug;
    for (let n = 1; anchors.has(anchor); n++) anchor = `${slug}-${n}`;
    anchors.add(anchor);
  }
  return anchors;
}

/** What is wrong with the links of a page, one line each. */
function brokenLinksOf(page: string): string[] {
  const path = join(ROOT, page);
  const prose = proseOf(readFileSync(path, 'utf8')).replace(/`[^`\n]*`/g, '');
  const targets = [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target);
  return targets.flatMap((target) => {
    if (/^[a-z]+:/.test(target)) return [];
    const [file = '', anchor] = target.split('#');
    const linked = file === '' ? path : resolve(dirname(path), decodeURIComponent(file));
    if (relative(ROOT, linked).startsWith('..') || !existsSync(linked)) return [`${page}: ${target} does not exist`];
    if (anchor === undefined) return [];
    if (!statSync(linked).isFile() || !linked.endsWith('.md')) return [`${page}: ${target} names a place in what is no page`];
    return anchorsOf(linked).has(anchor) ? [] : [`${page}: ${target} names a heading that is not there`];
  });
}

describe('The documentation', () => {
  test('has a front page of at most 10 KB, which leads to every other page', () => {
    const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
    expect(Buffer.byteLength(readme)).toBeLessThanOrEqual(MAX_README_BYTES);
    expect(PAGES.filter((page) => page !== 'README.md' && !readme.includes(`](${page}`))).toEqual([]);
  });

  test('has the command of .ci/run on it', () => {
    expect(/<!-- test-command -->\n\n```sh\n([\s\S]*?)```/.exec(readFileSync(join(ROOT, 'README.md'), 'utf8'))?.[1]).toMatch(
      /^apt-get update && .+ &&\nnpm ci && npm test\n$/,
    );
  });

  test('has only links that lead somewhere: to files that exist, and to headings on them', () => {
    expect(PAGES).toEqual(expect.arrayContaining(['README.md', 'CONTRIBUTING.md', '.github/SECURITY.md', 'schema/webhook.md']));
    expect(PAGES.flatMap(brokenLinksOf)).toEqual([]);
  });

  test('says what every folder of the sources is for', () => {
    const folders = readdirSync(join(ROOT, 'src'), { withFileTypes: true }).filter((entry) => entry.isDirectory());
    const contributing = readFileSync(join(ROOT, 'CONTRIBUTING.md'), 'utf8');
    expect(folders.map(({ name }) => name).filter((name) => !contributing.includes(`](src/${name})`))).toEqual([]);
  });

  test('stands beside a license that package.json names, too', () => {
    const { license } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
    expect(readFileSync(join(ROOT, 'LICENSE'), 'utf8')).toMatch(new RegExp(`^${license} License\n`));
  });

  test('names for each attack in SECURITY.md the tests that make it, and they exist', () => {
    const security = readFileSync(join(ROOT, '.github', 'SECURITY.md'), 'utf8');
    const tables = [...security.matchAll(/^\| attack \|.*\| test \|\n\|[-|]+\|\n((?:\|.*\n)+)/gm)].map(([, rows = '']) => rows);
    const cells = tables.flatMap((rows) => rows.trim().split('\n')).map((row) => row.split(' | ').at(-1) ?? '');
    expect(cells.length).toBeGreaterThan(30);
    for (const cell of cells) {
      const links = [...cell.matchAll(/\[([^\]]+)\]\(([^)]+)\)/g)].map(([, name, target]) => [name, target]);
      expect(links.length).toBeGreaterThan(0);
      for (const [name = '', target = ''] of links) {
        const file = target.replace(/^\.\.\//, '');
        expect(existsSync(join(ROOT, file))).toBe(true);
        // `fuzz` stands for fuzz/fuzz.test.ts.
        expect([`test/${name}.test.ts`, `test/${name}/${name}.test.ts`]).toContain(file);
      }
    }
  });
});
