import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { Command, Option } from 'commander';
import { type ClientOptions, LivehookClient } from '../../client';

/** What every command that talks to a hub takes. */
export interface HubOptions {
  readonly url?: string;
  readonly key?: string;
  readonly application?: string;
  readonly json?: true;
}

interface Profile {
  readonly url: string;
  readonly key: string;
}

const DEFAULT_URL = 'http://127.0.0.1:4000';

/** A command with the options of `HubOptions`. */
export function hubCommand(name: string): Command {
  return new Command(name)
    .addOption(new Option('--url <url>', `where the hub is; left out: that of livehook login, or ${DEFAULT_URL}`).env('LIVEHOOK_URL'))
    .addOption(new Option('--key <key>', 'the API key; left out: that of livehook login').env('LIVEHOOK_KEY'))
    .option('--application <id>', 'with an admin key: the application to act for')
    .option('--json', 'JSON lines on a terminal, too');
}

/** The hub that is meant: by options, by the environment, by the profile. */
export function accessTo({ url, key, application }: HubOptions): ClientOptions {
  const profile = url === undefined || key === undefined ? readProfile() : undefined;
  const found = key ?? profile?.key;
  if (found === undefined) throw new WrongUsage('expected an API key: --key, LIVEHOOK_KEY, or one that livehook login has stored');
  return { url: url ?? profile?.url ?? DEFAULT_URL, key: found, applicationId: application, maxTries: 5 };
}

/** Publishes one request after the other: what is read in an order is stored in it. */
export function connect(options: HubOptions): LivehookClient {
  return new LivehookClient({ ...accessTo(options), publishing: { maxRequests: 1 } });
}

/** Readable for its owner alone. */
export function storeProfile(profile: Profile): string {
  const path = profilePath();
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  writeFileSync(path, `${JSON.stringify(profile, null, 2)}\n`, { mode: 0o600 });
  chmodSync(path, 0o600); // one that was there keeps its mode otherwise
  return path;
}

function readProfile(): Profile | undefined {
  const path = profilePath();
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Profile;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new WrongUsage(`${path} can't be read: make it again with livehook login`);
  }
}

function profilePath(): string {
  return join(homedir(), '.config', 'livehook', 'profile.json');
}

/** What the caller has to change; exit code 2. */
export class WrongUsage extends Error {
  override readonly name = 'WrongUsage';
}
