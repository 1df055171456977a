import { createInterface } from 'node:readline/promises';
import { Connection } from '../../client/connection';
import { accessTo, type HubOptions, hubCommand, storeProfile, WrongUsage } from './hub-access';

export const loginCommand = () =>
  hubCommand('login')
    .description('keep the address of a hub and an API key for the commands that follow, in a file for you alone')
    .addHelpText('after', '\nExample:\n  livehook login --url https://hooks.example.com')
    .action(login);

export const VIEWER = 'query Viewer { viewer { admin } }';

async function login(options: HubOptions): Promise<void> {
  const key = options.key ?? (await askForKey());
  const access = accessTo({ ...options, key });
  await new Connection({ ...access, maxTries: 1 }).run(VIEWER, '{}');
  process.stderr.write(`The key is valid at ${access.url}; kept in ${storeProfile({ url: access.url, key })}\n`);
}

async function askForKey(): Promise<string> {
  const lines = createInterface({ input: process.stdin, output: process.stdin.isTTY ? process.stderr : undefined });
  try {
    const key = (await lines.question('API key: ')).trim();
    if (key !== '') return key;
  } finally {
    lines.close();
  }
  throw new WrongUsage('expected an API key');
}
