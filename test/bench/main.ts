import 'reflect-metadata';
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { Command, Option } from 'commander';
import { type DatabaseKind, Databases } from './databases';
import type { ReceiverKind } from './processes/receivers';
import type { World } from './rig';
import type { Scenario } from './scenario';
import { backlog } from './scenarios/backlog';
import { drain } from './scenarios/drain';
import { fanOut } from './scenarios/fan-out';
import { history } from './scenarios/history';
import { latency } from './scenarios/latency';
import { single } from './scenarios/single';
import { slowNeighbours } from './scenarios/slow-neighbours';
import { watch } from './scenarios/watch';
import { headLines, type JudgedRow, judged, rowLines } from './table';

const SCENARIOS: readonly Scenario[] = [drain, single, latency, fanOut, watch, history, backlog, slowNeighbours];

interface Options {
  readonly quick: boolean;
  readonly only?: string[];
  readonly database?: DatabaseKind;
  readonly receiver: ReceiverKind;
  readonly cpuProf?: string;
  readonly json?: string;
  readonly strict: boolean;
}

const names = SCENARIOS.map(({ name }) => name);

const program = new Command('bench')
  .description('What the hub delivers, beside what a bare program does on the same machine in the same minutes.')
  .option('--quick', 'fewer events: about a minute, and noisier', false)
  .option('--only <scenarios>', `some of ${names.join(',')}`, chosen)
  .addOption(new Option('--database <kind>', 'only on this one').choices(['mariadb', 'sqlite']))
  .addOption(
    new Option('--receiver <kind>', "Node's http server, or one that reads just enough of HTTP").choices(['http', 'raw']).default('http'),
  )
  .option('--cpu-prof <folder>', 'have every hub leave a CPU profile there')
  .option('--json <file>', 'write the figures there, too')
  .option('--strict', 'fail also when a figure falls short of its reach', false)
  .action(run);

function chosen(text: string): string[] {
  const wanted = text.split(',');
  const unknown = wanted.filter((name) => !names.includes(name));
  if (unknown.length > 0) program.error(`expected scenarios among ${names.join(', ')}; got ${unknown.join(', ')}`);
  return wanted;
}

async function run(options: Options): Promise<void> {
  const world: World = {
    databases: new Databases(),
    isQuick: options.quick,
    receiver: options.receiver,
    profileFolder: options.cpuProf === undefined ? undefined : resolve(options.cpuProf),
    open: new Set(),
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void close(world).finally(() => process.exit(1)));
  const rows: JudgedRow[] = [];
  try {
    for (const line of headLines()) process.stdout.write(`${line}\n`);
    for (const { scenario, database } of planOf(options))
      for (const row of (await scenario.run(world, database)).map(judged)) {
        rows.push(row);
        for (const line of rowLines(row)) process.stdout.write(`${line}\n`);
      }
  } finally {
    await close(world);
  }
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(rows, null, 2)}\n`);
  const fails = ({ verdict }: JudgedRow) => verdict === 'void' || (options.strict && verdict === 'short');
  if (rows.some(fails)) process.exitCode = 1;
}

function planOf({ only, database }: Options): { scenario: Scenario; database: DatabaseKind }[] {
  return SCENARIOS.filter(({ name }) => only?.includes(name) ?? true).flatMap((scenario) =>
    scenario.databases.filter((kind) => database === undefined || kind === database).map((kind) => ({ scenario, database: kind })),
  );
}

async function close({ open, databases }: World): Promise<void> {
  await Promise.allSettled([...open].map((end) => end()));
  await databases.close();
}

void program.parseAsync();
