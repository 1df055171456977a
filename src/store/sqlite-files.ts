import { chmodSync, closeSync, mkdirSync, openSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Log } from '../log';

const OWNER_ONLY = 0o600;
const OTHERS = 0o077;
const WORLD_WRITABLE = 0o002;
const STICKY = 0o1000;

/** The files of a database: SQLite's own three, and the key that is generated beside them. */
const SUFFIXES = ['', '-wal', '-shm', '.key'] as const;

const TODO = 'any user of this machine can replace the files in it: chmod o-w';

/** Makes the folder of a file where it is missing, for its owner only. */
export function makePrivateFolder(file: string): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
}

/**
 * Everything that the hub knows lies in these files: they are for their owner only, those that exist as well. SQLite gives
 * `-wal` and `-shm` the mode of the database file, which is therefore made here and not by SQLite, under whatever umask.
 */
export function protectFiles(path: string, log: Log): void {
  if (process.platform === 'win32') return; // access is a matter of lists there, which a mode says nothing of
  makePrivateFolder(path);
  closeSync(openSync(path, 'a', OWNER_ONLY));
  for (const suffix of SUFFIXES) tighten(path + suffix, log);
  const folder = dirname(path);
  const { mode } = statSync(folder);
  // Not refused: volumes of containers are often like this, with nobody else on them.
  if ((mode & WORLD_WRITABLE) !== 0 && (mode & STICKY) === 0)
    log.warn({ folder, mode: octal(mode), todo: TODO }, 'database.folder_open_to_all');
}

function tighten(file: string, log: Log): void {
  const mode = statSync(file, { throwIfNoEntry: false })?.mode;
  if (mode === undefined || (mode & OTHERS) === 0) return;
  try {
    chmodSync(file, OWNER_ONLY);
    log.warn({ file, mode: octal(mode) }, 'database.file_was_open');
  } catch (error) {
    log.error({ file, mode: octal(mode), error: (error as Error).message }, 'database.file_open_to_others');
  }
}

function octal(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, '0');
}
