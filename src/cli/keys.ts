import ms from 'ms';
import { ALL_SCOPES, type ApiKey, type Scope } from '../applications/api-key';
import { ApiKeys } from '../applications/api-keys';
import { Applications, refuseUnknown } from '../applications/applications';
import { AuditLog } from '../audit/audit-log';
import { byNobody } from '../audit/gathering';
import { systemClock } from '../clock';
import { ConfigError, readConfig } from '../config';
import { InputRefused, shown } from '../errors';
import { Facts } from '../facts';
import { createLog } from '../log';
import { withStoredDatabase } from './stored';

interface Options {
  readonly application?: string;
  readonly name?: string;
  readonly scope?: string[];
  readonly expiresIn?: string;
  readonly network?: string[];
}

interface ListOptions {
  readonly application?: string;
  readonly json?: true;
}

const KEYS_PER_PAGE = 100;

/** Creates a key and prints its token on standard output, and nothing else there. */
export async function createKey(options: Options): Promise<void> {
  const scopes = options.scope?.map(parseScope);
  const expiresAt = options.expiresIn === undefined ? null : new Date(systemClock.now() + parseDuration(options.expiresIn));
  await withKeys(async (keys, audit) => {
    const { apiKey, token } = await keys.create({
      applicationId: options.application ?? null,
      name: options.name ?? 'made by livehook keys create',
      scopes: scopes ?? null,
      expiresAt,
      allowedNetworks: options.network ?? null,
      origin: 'COMMAND',
    });
    await audit.done(byNobody('key.created', apiKey.applicationId, apiKey.id));
    process.stderr.write(
      `${apiKey.id}: ${apiKey.applicationId === null ? 'an admin key' : `a key of ${apiKey.applicationId}`}; its token is shown this once:\n`,
    );
    process.stdout.write(`${token}\n`);
  });
}

/** Lists keys: as a table for people on a terminal, as JSON lines in a pipe. */
export async function listKeys({ application, json }: ListOptions): Promise<void> {
  await withKeys(async (keys, _audit, applications) => {
    if (application !== undefined && (await applications.byId(application)) === null) refuseUnknown(application, '--application');
    const print = json === true || !process.stdout.isTTY ? lineOf : rowOf;
    for (let after: string | undefined; ; ) {
      const { rows, hasNextPage } = await keys.list(application ?? null, { first: KEYS_PER_PAGE, after });
      for (const apiKey of rows) process.stdout.write(`${print(apiKey)}\n`);
      after = rows.at(-1)?.id;
      if (!hasNextPage) return;
    }
  });
}

/** Ends a key: at running hubs within a second. */
export async function revokeKey(id: string): Promise<void> {
  await withKeys(async (keys, audit) => {
    const before = (await keys.byId(id))?.revokedAt ?? null;
    const { applicationId, name, revokedAt } = await keys.revoke(id);
    if (before === null) await audit.done(byNobody('key.revoked', applicationId, id));
    process.stderr.write(`${id} (${name}): revoked ${before === null ? 'now' : `already, at ${revokedAt?.toISOString()}`}\n`);
  });
}

async function withKeys(work: (keys: ApiKeys, audit: AuditLog, applications: Applications) => Promise<void>): Promise<void> {
  const config = readConfig(process.env);
  const log = createLog(config.logLevel);
  try {
    await withStoredDatabase(config, log, async (database) => {
      const stage = { database, clock: systemClock, log, facts: new Facts() };
      await work(new ApiKeys(stage), new AuditLog(stage), new Applications(stage));
    });
  } catch (error) {
    if (error instanceof InputRefused) throw new ConfigError([error.message]);
    throw error;
  }
}

function factsOf({ id, applicationId, name, hint, scopes, allowedNetworks, createdAt, lastUsedAt, expiresAt, revokedAt }: ApiKey) {
  return { id, applicationId, name, hint, scopes, allowedNetworks, createdAt, lastUsedAt, expiresAt, revokedAt };
}

const lineOf = (apiKey: ApiKey) => JSON.stringify(factsOf(apiKey));

const minute = (time: Date) => time.toISOString().slice(0, 16);

/** A row of the table. */
export function rowOf({ id, applicationId, name, hint, scopes, lastUsedAt, expiresAt, revokedAt }: ApiKey): string {
  const columns = [
    id,
    `…${hint}`,
    stateOf(expiresAt, revokedAt).padEnd(24),
    (lastUsedAt === null ? 'never used' : `used ${minute(lastUsedAt)}`).padEnd(21),
    name.replace(/\p{Cc}/gu, ' '),
    applicationId === null ? 'everything' : scopes.join(','),
  ];
  return columns.join('  ');
}

function stateOf(expiresAt: Date | null, revokedAt: Date | null): string {
  if (revokedAt) return `revoked ${minute(revokedAt)}`;
  if (expiresAt === null) return 'valid';
  return `${expiresAt.getTime() <= systemClock.now() ? 'expired' : 'expires'} ${minute(expiresAt)}`;
}

function parseScope(text: string): Scope {
  const scope = ALL_SCOPES.find((candidate) => candidate === text.toUpperCase());
  if (scope === undefined) throw new ConfigError([`--scope: expected one of ${ALL_SCOPES.join(', ')}; got ${shown(text)}`]);
  return scope;
}

function parseDuration(text: string): number {
  const duration = ms(text as ms.StringValue);
  if (typeof duration !== 'number' || !(duration > 0))
    throw new ConfigError([`--expires-in: expected a duration such as 12h or 90d; got ${shown(text)}`]);
  return duration;
}
