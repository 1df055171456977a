import { GraphQLSafeInt } from 'graphql-scalars';
import { Arg, Field, Int, ObjectType, registerEnumType } from 'type-graphql';
import { BUCKET_MS, MAX_STATS_AGE_MS, type Span, type Summary } from '../attempts/stats';
import { DAY, HOUR, MINUTE } from '../clock';
import { MAX_COUNTED_UNFINISHED, type Unfinished } from '../deliveries/unfinished';
import { HubError } from '../errors';

export enum StatsWindow {
  HOUR = 'HOUR',
  DAY = 'DAY',
  WEEK = 'WEEK',
}

export const WINDOW_MS = { HOUR, DAY, WEEK: 7 * DAY } as const satisfies Record<StatsWindow, number>;

registerEnumType(StatsWindow, {
  name: 'StatsWindow',
  description: 'Up to now; counted by quarters of an hour, so up to 15 minutes more.',
  valuesConfig: {
    HOUR: { description: 'The last hour.' },
    DAY: { description: 'The last 24 hours.' },
    WEEK: { description: 'The last 7 days.' },
  },
});

@ObjectType({
  description: 'How the attempts of a webhook went. Percentiles are of the whole duration, within 5 %; null where there was no attempt.',
})
export class WebhookStats implements Summary {
  @Field(() => GraphQLSafeInt, { description: 'How many there were.' })
  attempts!: number;

  @Field(() => GraphQLSafeInt, { description: 'How many were answered 2xx.' })
  succeeded!: number;

  @Field(() => GraphQLSafeInt, { description: 'How many were not.' })
  failed!: number;

  @Field(() => Int, { nullable: true, description: 'Half took no longer than this many milliseconds.' })
  p50Ms!: number | null;

  @Field(() => Int, { nullable: true, description: '95 of 100 took no longer.' })
  p95Ms!: number | null;

  @Field(() => Int, { nullable: true, description: '99 of 100 took no longer.' })
  p99Ms!: number | null;

  @Field(() => GraphQLSafeInt, { description: 'Bytes of request bodies that were sent; none where there was no connection.' })
  bytes!: number;
}

export enum SeriesStep {
  QUARTER_HOUR = 'QUARTER_HOUR',
  HOUR = 'HOUR',
  SIX_HOURS = 'SIX_HOURS',
  DAY = 'DAY',
}

const STEP_MS = { QUARTER_HOUR: BUCKET_MS, HOUR, SIX_HOURS: 6 * HOUR, DAY } as const satisfies Record<SeriesStep, number>;

registerEnumType(SeriesStep, {
  name: 'SeriesStep',
  description: 'How long a step of a series is. Steps begin at multiples of it, in UTC.',
  valuesConfig: {
    QUARTER_HOUR: { description: '15 minutes, which is how finely attempts are counted.' },
    HOUR: { description: 'An hour.' },
    SIX_HOURS: { description: '6 hours: 0, 6, 12 and 18 o’clock.' },
    DAY: { description: 'A day of UTC.' },
  },
});

@ObjectType({ description: 'How the attempts went that ended in one step of a series.' })
export class StatsPoint extends WebhookStats {
  @Field(() => Date, { description: 'When the step begins; it ends where the next begins.' })
  startsAt!: Date;
}

/** What `series` is asked for. */
export interface SeriesArguments {
  readonly from: Date;
  readonly to: Date;
  readonly step: SeriesStep;
}

/** Pure: whole steps that contain what was asked for. */
export function spanOf({ from, to, step }: SeriesArguments, now: number): Span {
  const stepMs = STEP_MS[step];
  const oldest = now - MAX_STATS_AGE_MS;
  const problem = (message: string) => new HubError('BAD_USER_INPUT', message);
  if (to.getTime() <= from.getTime()) throw problem(`to: expected a time after ${shownTime(from)}, got ${shownTime(to)}`);
  if (from.getTime() > now) throw problem(`from: expected a time in the past, got ${shownTime(from)}`);
  // A minute for clocks, and for the way of a request that asks for all there is.
  if (from.getTime() < oldest - MINUTE)
    throw problem(`from: expected a time within the last 7 days, for which statistics are kept, got ${shownTime(from)}`);
  const end = Math.min(to.getTime(), now);
  return { from: Math.floor(from.getTime() / stepMs) * stepMs, to: Math.max(1, Math.ceil(end / stepMs)) * stepMs, stepMs };
}

const shownTime = (time: Date) => time.toISOString();

/** The arguments of every `series`. */
export const From = () =>
  Arg('from', () => Date, {
    description: 'The first step is the one that contains it. Within the last 7 days, for which statistics are kept.',
  });
export const To = () =>
  Arg('to', () => Date, { nullable: true, description: 'The last step is the one before it, or that contains it; default: now.' });
export const Step = () =>
  Arg('step', () => SeriesStep, { nullable: true, defaultValue: SeriesStep.HOUR, description: 'How long each step is.' });

@ObjectType({ description: 'What is to be delivered yet: what waits for its turn or its time, and what is being sent.' })
export class DeliveryBacklog implements Unfinished {
  @Field(() => Int, { description: `How many deliveries, counted up to ${MAX_COUNTED_UNFINISHED}.` })
  waiting!: number;

  @Field(() => Boolean, { description: 'Whether there are more than were counted.' })
  isCapped!: boolean;

  @Field(() => Date, { nullable: true, description: 'When the oldest of those counted was made; null where nothing waits.' })
  oldestAt!: Date | null;
}
