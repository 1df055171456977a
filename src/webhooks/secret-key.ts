import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import type { Config } from '../config';
import { makePrivateFolder } from '../store/sqlite-files';
import { Seal } from './seal';

/** The seal that the configuration asks for. */
export function sealFor(config: Config): Seal {
  return new Seal(config.secretKey ?? keyBeside(config), config.previousSecretKeys);
}

/** On embedded SQLite the key lies beside the file, readable by its owner only; made at the first start. */
function keyBeside({ databaseUrl }: Config): Buffer {
  if (databaseUrl.kind !== 'sqlite') throw new Error('expected LIVEHOOK_SECRET_KEY: config.ts requires it with MySQL');
  const path = `${databaseUrl.path}.key`;
  makePrivateFolder(path);
  try {
    writeFileSync(path, `${randomBytes(32).toString('base64')}\n`, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  return Buffer.from(readFileSync(path, 'utf8').trim(), 'base64');
}
