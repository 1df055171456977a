import { cpuMicroseconds } from '../cpu';
import { compare } from '../figures';
import { Helper } from '../helper';
import { openLoop } from '../open-loop';
import type { Broadcaster } from '../processes/broadcaster';
import type { Watched, Watchers } from '../processes/watchers';
import { type Rig, withRig } from '../rig';
import type { Scenario } from '../scenario';

const SUBSCRIBERS = 1_000;
const PROCESSES = 2;
const PER_SECOND = 50;
const WARMING = 3_000;
const QUIET_MS = 15_000;
const QUERY = 'subscription { event { id sequence type payload } }';

/** A thousand sockets that want every event of one application. */
export const watch: Scenario = {
  name: 'watch',
  databases: ['mariadb'],
  run: (world, database) =>
    withRig(world, database, async (rig) => {
      const events = world.isQuick ? 100 : 250;
      const application = await rig.application([]);
      const publisher = rig.publisher(application, 16);
      // At 50 a second it would take minutes until publishing runs compiled code, and that is not what is measured.
      await Promise.all(Array.from({ length: WARMING }, () => publisher.publishOne()));
      const hubCrowd = startCrowd(rig);
      await hubCrowd.watch(rig.hub.url.replace(/^http/, 'ws').concat('/graphql'), { key: application.key, query: QUERY });
      const bareCrowd = startCrowd(rig);
      const broadcaster = rig.also(new Helper<Broadcaster>('broadcaster'), (helper) => helper.end());
      await bareCrowd.watch(await broadcaster.ask('listen', undefined), null);

      const publish = (count: number) => openLoop({ count, perSecond: PER_SECOND }, async () => void (await publisher.publishOne()));
      const figure = (count: number) => hubCrowd.count(rig.hub.pid, count, () => publish(count));
      const { example } = await figure(50);
      const broadcast = (count: number) => broadcaster.ask('broadcast', { example, count, perSecond: PER_SECOND });
      const baseline = (count: number) => bareCrowd.count(broadcaster.pid, count, () => broadcast(count));
      await baseline(50);
      const spentOver = rig.metering();
      const compared = await compare({
        baseline: () => baseline(events),
        figure: () => figure(events),
        level: ({ perCpuSecond }) => perCpuSecond,
      });
      const { before, figure: measured, after } = compared;
      const { databaseMicroseconds } = spentOver(events);
      return [
        {
          scenario: 'watch',
          database,
          unit: 'messages/CPU s',
          before: before.perCpuSecond,
          figure: measured.perCpuSecond,
          after: after.perCpuSecond,
          reach: { atLeast: 0.7 },
          isNoisy: compared.isNoisy,
          spent: { hubMicroseconds: measured.cpuMicroseconds / events, databaseMicroseconds },
          peakMegabytes: rig.peakMegabytes,
          problems: [...before.problems, ...measured.problems, ...after.problems],
        },
      ];
    }),
};

/** Subscribers in processes of their own, who see to it that each gets everything once and in order. */
function startCrowd(rig: Rig) {
  const processes = Array.from({ length: PROCESSES }, () => rig.also(new Helper<Watchers>('watchers'), (helper) => helper.end()));
  const share = SUBSCRIBERS / PROCESSES;
  return {
    watch: (url: string, subscription: { key: string; query: string } | null) =>
      Promise.all(processes.map((one) => one.ask('watch', { url, subscription, count: share }))),

    async count(serverPid: number, events: number, send: () => Promise<void>) {
      await Promise.all(processes.map((one) => one.ask('reset', undefined)));
      const before = cpuMicroseconds(serverPid);
      const seen = Promise.all(processes.map((one) => one.ask('seen', { total: share * events, quietMs: QUIET_MS })));
      await send();
      const watched = await seen;
      const used = cpuMicroseconds(serverPid) - before;
      const frames = watched.reduce((sum, one) => sum + one.frames, 0);
      return {
        cpuMicroseconds: used,
        perCpuSecond: (frames * 1e6) / used,
        problems: problemsOf(watched, events),
        example: watched[0]?.example ?? '',
      };
    },
  };
}

function problemsOf(watched: readonly Watched[], events: number): string[] {
  const disorder = watched.reduce((sum, one) => sum + one.disorder, 0);
  const incomplete = watched.flatMap(({ ranges }) => ranges).filter(([first, last]) => last - first + 1 !== events).length;
  return [
    ...(disorder > 0 ? [`${disorder} frames lost, repeated or out of order`] : []),
    ...(incomplete > 0 ? [`${incomplete} subscribers without all of ${events} events`] : []),
  ];
}
