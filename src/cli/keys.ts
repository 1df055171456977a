import ms from 'ms';
import { ALL_SCOPES, type Scope } from '../applications/api-key';
import { ApiKeys } from '../applications/api-keys';
import { systemClock } from '../clock';
import { ConfigError, readConfig } from '../config';
import { InputRefused, shown } from '../errors';
import { createLog } from '../log';
import { Database } from '../store/database';

interface Options {
  readonly application?: string;
  readonly name?: string;
  readonly scope?: string[];
  readonly expiresIn?: string;
}

/** Creates a key and prints its token on standard output, and nothing else there. */
export async function createKey(options: Options): Promise<void> {
  const config = readConfig(process.env);
  const scopes = options.scope?.map(parseScope);
  const expiresAt = options.expiresIn === undefined ? null : new Date(systemClock.now() + parseDuration(options.expiresIn));
  const log = createLog(config.logLevel);
  const database = new Database(config.databaseUrl, log);
  await database.open();
  try {
    await database.migrate();
    const keys = new ApiKeys({ database, clock: systemClock, log, revoked: () => {} });
    const { apiKey, token } = await keys.create({
      applicationId: options.application ?? null,
      name: options.name ?? 'made by livehook keys create',
      scopes: scopes ?? null,
      expiresAt,
      origin: 'COMMAND',
    });
    process.stderr.write(
      `${apiKey.id}: ${apiKey.applicationId === null ? 'an admin key' : `a key of ${apiKey.applicationId}`}; its token is shown this once:\n`,
    );
    process.stdout.write(`${token}\n`);
  } catch (error) {
    if (error instanceof InputRefused) throw new ConfigError([error.message]);
    throw error;
  } finally {
    await database.close();
  }
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
