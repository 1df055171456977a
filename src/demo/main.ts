import 'reflect-metadata';
import { Command } from 'commander';
import { SECOND } from '../clock';
import { run, TIME_LIMIT_MS } from './run';

const HELP = `
On a terminal it goes on serving after the closing table, and says where, until Ctrl-C.
Without a terminal, or with --once, it ends by itself.

Exit codes:
  0    the table balances: every event reached every webhook that wants it
  1    it does not, or not within ${TIME_LIMIT_MS / SECOND} s; what is missing is named
  130  stopped by Ctrl-C before the end`;

async function main(): Promise<void> {
  const command = new Command('npm run demo --')
    .description(
      "Livehook's main job on real input: publishes the GitHub webhook payloads of the npm\n" +
        'package @octokit/webhooks-examples, delivers them to three webhooks, one of which\n' +
        'fails at first, and shows each delivery as it happens. Everything runs in this\n' +
        'process, on free ports and on a database that is removed afterwards.',
    )
    .configureHelp({ helpWidth: 90 })
    .option('--once', 'end after the closing table, even on a terminal')
    .allowExcessArguments(false)
    .addHelpText('after', HELP)
    .parse();

  process.exitCode = 1; // until the table has balanced, whatever ends the process
  const stop = new AbortController();
  // Not `once`: npm passes Ctrl-C on to a process that has had it already.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stop.abort());
  process.stdout.on('error', () => stop.abort()); // the reader has left, as in `| head`
  const { once = false } = command.opts<{ once?: boolean }>();
  process.exitCode = await run({ out: process.stdout, isOnce: once, stop: stop.signal });
}

main().catch((error: unknown) => {
  process.stderr.write(`demo: ${(error as Error).stack ?? String(error)}\n`);
  process.exit(1); // what did not stop could hold it
});
