import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const ROOT = join(__dirname, '..', '..');

/** Set by `npm run schema`: the files are written instead of compared. */
const isWriting = process.env.LIVEHOOK_WRITE_SCHEMA === '1';

/** Holds `schema/<name>`, or another file of the project, to what the code says. */
export function expectContract(name: string, content: string, folder = 'schema'): void {
  const path = join(ROOT, folder, name);
  if (isWriting) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
  }
  const written = existsSync(path) ? readFileSync(path, 'utf8') : '';
  if (written !== content) {
    // The difference first, then what to do about it.
    expect(written).toBe(content);
    throw new Error(`${join(folder, name)} is not what the code says: look at the difference, and if it is meant, npm run schema`);
  }
}
