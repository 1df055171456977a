import type { Context } from './context';
import { SeriesStep, type StatsPoint, spanOf } from './webhook-stats';

interface Asked {
  readonly from: Date;
  readonly to?: Date | null | undefined;
  readonly step?: SeriesStep | null | undefined;
}

/** `ownerId`: a webhook or an application. */
export function readSeries(
  { services, budget }: Pick<Context, 'services' | 'budget'>,
  ownerId: string,
  { from, to, step }: Asked,
): Promise<readonly StatsPoint[]> {
  const now = services.clock.now();
  const span = spanOf({ from, to: to ?? new Date(Math.max(now, from.getTime() + 1)), step: step ?? SeriesStep.HOUR }, now);
  return budget.reading(() => services.stats.series(ownerId, span));
}
