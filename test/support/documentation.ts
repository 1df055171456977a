import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(__dirname, '..', '..');

const NOT_OURS = new Set(['node_modules', 'dist', 'coverage', '.git']);

/** Every page of the documentation: the project's Markdown files, whether or not git is there. */
export function pages(): string[] {
  const entries = readdirSync(ROOT, { withFileTypes: true }).filter(({ name }) => !NOT_OURS.has(name));
  return entries
    .flatMap((entry) =>
      entry.isDirectory()
        ? readdirSync(join(ROOT, entry.name), { recursive: true, encoding: 'utf8' }).map((path) => join(entry.name, path))
        : [entry.name],
    )
    .filter((path) => path.endsWith('.md') && !path.includes('node_modules'));
}

/** A page of the documentation, by its path from the root of the project. */
export function page(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

/** The fenced block that follows `<!-- example: name -->` on a page, or another kind of marker. */
export function example(path: string, name: string, marker = 'example'): string {
  const [, block] = new RegExp(`<!-- ${marker}: ${name} -->\\s+\x60{3}\\w+\\n([^]*?)\x60{3}`).exec(page(path)) ?? [];
  if (block === undefined) throw new Error(`${path} has no block after <!-- ${marker}: ${name} -->`);
  return block;
}

/** The fenced blocks of a language from `<!-- example: name -->` to the end of its section. */
export function examplesFrom(path: string, name: string, language: string): string[] {
  const [, section = ''] = new RegExp(`<!-- example: ${name} -->([^]*?)(?:\\n## |$)`).exec(page(path)) ?? [];
  const blocks = [...section.matchAll(new RegExp(`^\x60{3}${language}\\n([^]*?)^\x60{3}`, 'gm'))].map(([, block = '']) => block);
  if (blocks.length === 0) throw new Error(`${path} has no ${language} after <!-- example: ${name} -->`);
  return blocks;
}

/** The cells of each row below the table whose head begins so; each cell as it is written. */
export function tableRows(path: string, head: string): string[][] {
  const text = page(path);
  const start = text.indexOf(`\n${head}`);
  if (start < 0) throw new Error(`${path} has no table that begins with ${head}`);
  const [, ...lines] = text.slice(start + 1).split('\n');
  const rows = lines.slice(
    1,
    Math.max(
      1,
      lines.findIndex((line) => !line.startsWith('|')),
    ),
  );
  return rows.map((row) =>
    row
      .slice(1, -1)
      .split(/(?<!\\)\|/)
      .map((cell) => cell.trim()),
  );
}
