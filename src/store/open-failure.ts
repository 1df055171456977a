import type { DatabaseUrl } from '../config';
import { CannotStart } from '../errors';
import { type Dialect, driverCode } from './dialect';

const DENIED = new Set(['ER_ACCESS_DENIED_ERROR', 'ER_ACCESS_DENIED_NO_PASSWORD_ERROR', 'ER_DBACCESS_DENIED_ERROR']);
/** Of the file system and of SQLite, about a file that is there or not. */
const FILE = /^(EACCES|EPERM|EROFS|ENOENT|ENOTDIR|EISDIR|ENOSPC|ELOOP|ENAMETOOLONG|SQLITE_(CANTOPEN|READONLY|PERM|FULL|IOERR).*)$/;

/** Why the database cannot be opened, as a sentence for the operator; anything else as it is. */
export function openFailure(error: unknown, url: DatabaseUrl, dialect: Dialect): unknown {
  if (error instanceof CannotStart) return error;
  const problem = url.kind === 'sqlite' ? fileProblem(error, url.path) : serverProblem(error, new URL(url.url).host, dialect);
  return problem === undefined ? error : new CannotStart(`DATABASE_URL: ${problem}`, error);
}

function serverProblem(error: unknown, host: string, dialect: Dialect): string | undefined {
  const code = driverCode(error);
  const why = reasonOf(error);
  if (DENIED.has(code)) return `the database at ${host} does not let this user in: check the user and the password (${why})`;
  if (code === 'ER_BAD_DB_ERROR') return `there is no such database at ${host}: make it with CREATE DATABASE (${why})`;
  if (dialect.classify(error) === 'unavailable')
    return `the database at ${host} cannot be reached: does it run, and is this its address? (${why})`;
  return undefined;
}

function fileProblem(error: unknown, path: string): string | undefined {
  const code = driverCode(error);
  if (code === 'SQLITE_NOTADB') return `expected a SQLite database or a file that is yet to be made, got something else: ${path}`;
  if (code.startsWith('SQLITE_BUSY')) return `another program holds the file ${path}: end that one, and start again`;
  if (FILE.test(code)) return `the file ${path} cannot be opened for reading and writing (${reasonOf(error)})`;
  return undefined;
}

function reasonOf(error: unknown): string {
  const { message, errors } = error as AggregateError;
  // Of a name with several addresses: what was wrong with each.
  return message === '' && Array.isArray(errors) ? errors.map((each: Error) => each.message).join('; ') : message;
}
