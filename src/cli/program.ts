import { Command } from 'commander';
import { settingLines } from '../config';
import { VERSION } from '../version';
import { completionCommand } from './completion';
import { dev } from './dev';
import { createKey, listKeys, revokeKey } from './keys';
import { migrate } from './migrate';
import { rekey } from './rekey';
import { loginCommand } from './remote/login';
import { nounCommands } from './remote/nouns';
import { publishCommand } from './remote/publish';
import { replayCommand, retryCommand } from './remote/retry';
import { tailCommand } from './remote/tail';
import { triggerCommand } from './remote/trigger';
import { verifyCommand } from './remote/verify';
import { serve } from './serve';

/** The `livehook` command. */
export function createProgram(): Command {
  const program = new Command('livehook')
    .description(
      'A GraphQL subscription-and-webhook hub: publish events by mutation, deliver them as signed HTTP requests, watch everything live.',
    )
    .version(VERSION)
    .showHelpAfterError()
    .addHelpText('after', settingsHelp());

  program
    .command('serve')
    .description('migrate the database and serve until SIGTERM or SIGINT')
    .option(
      '--processes <n>',
      'instances that share the port, 1 to 64, each in a process of its own; more than 1 with MySQL or MariaDB only',
      '1',
    )
    .action(serve);
  program
    .command('dev')
    .description('a hub on SQLite that may deliver to this machine, a receiver that shows what comes, and the address for the browser')
    .option('--database <path>', 'SQLite file of its own', 'livehook-dev.db')
    .option('--no-example', 'publish no example event at the start')
    .addHelpText('after', '\nExample:\n  livehook dev')
    .action(dev);
  program
    .command('migrate')
    .description('apply the migrations that are missing, in a new database where there is none, and exit')
    .action(migrate);

  const keys = program.command('keys').description('API keys');
  keys
    .command('create')
    .description('create a key and print its token, once: an admin key, or the key of one application')
    .option('--application <id>', 'the application it acts for; left out: an admin key')
    .option('--name <name>', 'what it is for')
    .option('--scope <scope...>', "what it may do; left out: everything an application's key can")
    .option('--expires-in <duration>', 'how long it lasts, such as 90d; left out: until it is revoked')
    .option('--network <cidr...>', 'networks that it may be used from, such as 203.0.113.0/24; left out: from anywhere')
    .action(createKey);
  keys
    .command('list')
    .description('list keys, those that have ended as well; JSON lines in a pipe')
    .option('--application <id>', 'the application whose keys; left out: admin keys')
    .option('--json', 'JSON lines on a terminal, too')
    .action(listKeys);
  keys.command('revoke <id>').description('end a key, at running hubs within a second').action(revokeKey);
  const secrets = program.command('secrets').description('secrets at rest: what webhooks sign with, and the values of their headers');
  secrets
    .command('rekey')
    .description('encrypt every secret with LIVEHOOK_SECRET_KEY; former keys are read from LIVEHOOK_PREVIOUS_SECRET_KEYS')
    .action(rekey);
  for (const command of [loginCommand, publishCommand, triggerCommand, tailCommand, retryCommand, replayCommand, verifyCommand])
    program.addCommand(command());
  for (const command of nounCommands()) program.addCommand(command);
  program.addCommand(completionCommand());
  for (const command of allOf(program)) command.exitOverride().showHelpAfterError();
  return program;
}

function allOf(command: Command): Command[] {
  return [command, ...command.commands.flatMap(allOf)];
}

function settingsHelp(): string {
  const settings = settingLines();
  const width = Math.max(...settings.map(({ name }) => name.length)) + 2;
  const lines = settings.map(
    ({ name, default: fallback, description }) =>
      `  ${name.padEnd(width)}${description}${fallback === '' ? '' : ` (default: ${fallback})`}`,
  );
  return `\nSettings, from the environment:\n${lines.join('\n')}\n`;
}
