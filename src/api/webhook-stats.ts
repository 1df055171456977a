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
  @Field(() => GraphQLSafeInt)
  attempts!: number;

  @Field(() => GraphQLSafeInt)
  succeeded!: number;

  @Field(() => GraphQLSafeInt)
  failed!: number;

  @Field(() => Int, { nullable: true })
  p50Ms!: number | null;

  @Field(() => Int, { nullable: true })
  p95Ms!: number | null;

  @Field(() => Int, { nullable: true })
  p99Ms!: number | null;
}
