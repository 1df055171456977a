import type { DatabaseKind } from '../databases';
import { compare } from '../figures';
import type { Delivered, World } from '../rig';
import type { Row } from '../table';
import { drainAlone } from './drain';

/** What a scenario measures whose baseline is the drain. */
export interface Measured {
  readonly delivered: Delivered;
  readonly peakMegabytes: number;
  readonly problems: readonly string[];
}

/** Measures between two drains, each by a hub of its own. */
export async function besideDrain(
  world: World,
  database: DatabaseKind,
  { scenario, atLeast, figure }: { readonly scenario: string; readonly atLeast: number; readonly figure: () => Promise<Measured> },
): Promise<Row> {
  const problems: string[] = [];
  const baseline = async () => {
    const drained = await drainAlone(world, database);
    problems.push(...drained.problems);
    return drained.perSecond;
  };
  const compared = await compare({ baseline, figure, level: (perSecond) => perSecond });
  const { delivered, peakMegabytes } = compared.figure;
  return {
    scenario,
    database,
    unit: 'delivered/s',
    before: compared.before,
    figure: delivered.perSecond,
    after: compared.after,
    isNoisy: compared.isNoisy,
    reach: { atLeast },
    spent: delivered.spent,
    peakMegabytes,
    problems: [...problems, ...compared.figure.problems],
  };
}
