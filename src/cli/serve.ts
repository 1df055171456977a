import cluster from 'node:cluster';
import { systemClock } from '../clock';
import { type Config, ConfigError, describeChanges, describeConfig, readConfig } from '../config';
import { shown } from '../errors';
import { Hub, type Started } from '../hub';
import { createLog, HeldLines, type Log } from '../log';
import { Processes } from './processes';
import { onShutdownSignal } from './shutdown-signal';
import { Sibling } from './sibling';

const SIGNALS = ['SIGTERM', 'SIGINT'] as const;
const MAX_PROCESSES = 64;

/** Serves until SIGTERM or SIGINT, then drains and exits 0. A second signal ends it at once. */
export async function serve(options: { readonly processes: string }): Promise<void> {
  const config = readConfig(process.env);
  const processes = parseProcesses(options.processes, config);
  process.stdout.on('error', () => {}); // whoever read the address may be gone: no reason to end
  // On a terminal the address stands above the log; a process of several prints none.
  const held = process.stderr.isTTY && cluster.isPrimary ? new HeldLines() : undefined;
  const log = createLog(config.logLevel, held);
  process.on('unhandledRejection', (reason) =>
    log.error({ error: reason instanceof Error ? reason.stack : String(reason) }, 'process.unhandled_rejection'),
  );
  if (cluster.isWorker) return serveAsOneOf(config, log);
  log.info(process.stderr.isTTY ? describeChanges(config) : describeConfig(config), 'hub.configured');
  const started = (facts: Started) => {
    announce(facts, config);
    held?.release();
  };
  try {
    await (processes === 1 ? serveAlone(config, log, started) : serveWith(processes, config, log, started));
  } finally {
    held?.release();
  }
}

type Announce = (started: Started) => void;

async function serveAlone(config: Config, log: Log, started: Announce): Promise<void> {
  const told = new Promise<void>((resolve) => onSignals({ stop: resolve }));
  const hub = new Hub({ config, log });
  started(await hub.start());
  await told;
  await hub.stop();
  process.exit(0); // a name server that is still being asked would hold the process for seconds
}

/** Serves nothing itself: the hubs are in the processes that it starts. */
async function serveWith(count: number, { port }: Config, log: Log, started: Announce): Promise<void> {
  const processes = new Processes({ count, port, clock: systemClock, log, started });
  onSignals({ stop: () => processes.stop(), end: () => processes.kill() });
  process.exit(await processes.run());
}

async function serveAsOneOf(config: Config, log: Log): Promise<void> {
  // Signals to all, from a terminal or a service manager, reach this process as well as the one that passes them on:
  // the second asks for nothing more.
  const told = new Promise<void>((resolve) => {
    process.on('SIGTERM', () => resolve());
    process.on('SIGINT', () => {});
  });
  const sibling = await Sibling.join(systemClock);
  const hub = new Hub({ config: { ...config, port: sibling.port }, log, siblings: sibling });
  sibling.started(await hub.start(), () => hub.ownMetrics());
  const orphaned = sibling.orphaned().then(() => log.warn({ process: sibling.number }, 'process.orphaned'));
  await Promise.race([told, orphaned]);
  await hub.stop();
  process.exit(0);
}

export function onSignals({ stop, end = () => {} }: { readonly stop: () => void; readonly end?: () => void }): void {
  const told = onShutdownSignal({
    clock: systemClock,
    stop,
    end: (signal) => {
      end();
      process.off(signal, told);
      process.kill(process.pid, signal); // as it is without a listener
    },
  });
  for (const signal of SIGNALS) process.on(signal, told);
}

function announce({ url, metricsUrl, generatedAdminKey, adminKeyProblem }: Started, { publicUrl }: Config): void {
  const print = (text: string) => process.stdout.write(text);
  print(`Livehook is listening on ${url}\n`);
  if (metricsUrl !== undefined) print(`Metrics are at ${metricsUrl}\n`);
  if (adminKeyProblem !== undefined) print(`\nLIVEHOOK_ADMIN_KEY lets nobody in: ${adminKeyProblem}\n`);
  if (generatedAdminKey !== undefined) print(`\nYour first admin key, shown this once:\n\n  ${generatedAdminKey}\n`);
  // For people: what starts hubs by itself waits for the first line, and has the address from it.
  const base = publicUrl ?? url.replace('//0.0.0.0:', '//127.0.0.1:').replace('//[::]:', '//[::1]:');
  if (generatedAdminKey !== undefined || process.stdout.isTTY) print(`\nDashboard: ${base}/   GraphiQL: ${base}/graphql\n\n`);
}

function parseProcesses(text: string, { databaseUrl }: Config): number {
  const processes = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(processes >= 1 && processes <= MAX_PROCESSES))
    throw new ConfigError([`--processes: expected a whole number from 1 to ${MAX_PROCESSES}; got ${shown(text)}`]);
  if (processes > 1 && databaseUrl.kind === 'sqlite')
    throw new ConfigError([
      `--processes: expected 1 with SQLite, whose file belongs to one instance; got ${processes}. Several share a MySQL or MariaDB DATABASE_URL`,
    ]);
  return processes;
}
