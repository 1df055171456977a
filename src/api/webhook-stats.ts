import { GraphQLSafeInt } from 'graphql-scalars';
import { Field, Int, ObjectType, registerEnumType } from 'type-graphql';
import type { Summary } from '../attempts/stats';
import { DAY, HOUR } from '../clock';

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
}
