import 'reflect-metadata';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { Build } from '../support/hub-process';
import { describeReport } from './print';
import { anySeed, type Report, runChaos } from './run';

interface Flags {
  readonly seconds: number;
  readonly seed: number;
  readonly instances: number;
  readonly redis: boolean;
  readonly keep: boolean;
}

const DRAIN_MS = 120_000;

const program = new Command('chaos')
  .description('Breaks hubs, their database and their receivers at random, mends them, and does the sums. Status 1: they do not balance.')
  .option('--seconds <n>', 'how long things break', wholeNumber, 60)
  .option('--seed <n>', 'of the schedule; the same seed breaks the same things at the same times', wholeNumber, anySeed())
  .option('--instances <n>', 'hubs on the one database', wholeNumber, 3)
  .option('--no-redis', 'without the doorbell: hubs poll the database')
  .option('--keep', 'write everything that was recorded into a folder', false);

function wholeNumber(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('expected a whole number above 0');
  return Number(text);
}

async function main(): Promise<void> {
  const { seconds, seed, instances, redis, keep } = program.parse().opts<Flags>();
  const say = (line: string) => void process.stdout.write(`${line}\n`);
  say(`chaos --seconds ${seconds} --seed ${seed} --instances ${instances}${redis ? '' : ' --no-redis'}`);
  const build = await Build.make();
  try {
    const report = await runChaos({ seconds, seed, instances, withRedis: redis, build, say, drainMs: DRAIN_MS });
    for (const line of describeReport(report)) say(line);
    if (keep) say(`Everything that was recorded: ${await write(report)}`);
    if (report.balance.findings.length > 0) process.exitCode = 1;
  } finally {
    await build.remove();
  }
}

async function write({ facts, balance, logs }: Report): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'livehook-chaos-'));
  await writeFile(join(folder, 'facts.json'), JSON.stringify({ ...facts, findings: balance.findings }, null, 1));
  for (const [slot, log] of logs.entries()) await writeFile(join(folder, `hub-${slot}.log`), log);
  return folder;
}

void main();
