import { GraphQLJSON } from 'graphql-scalars';
import { Field, Int, ObjectType } from 'type-graphql';
import { HubError, refuseLongList } from '../errors';
import { Event } from '../events/event';
import { wantsType } from '../fanout/wants';
import { compileCondition, meets } from '../matching/condition';
import { eventTypePatternProblem } from '../matching/event-type';
import { matchesAnyType } from '../matching/event-type-pattern';
import { type Explain, explainerFor, type FailedCondition } from '../matching/explain';
import { CHARS_PARSED_PER_UNIT, MAX_UNITS_PER_MATCH, MatchBudget, OutOfBudget } from '../matching/match-budget';
import type { DocumentProblem, PayloadQuery } from '../webhooks/payload-query';
import { DEFAULT_EVENT_TYPES } from '../webhooks/webhook-input';
import type { Context } from './context';

@ObjectType({ description: 'Something that is wrong with a document or a filter.' })
export class PreviewProblem implements DocumentProblem {
  @Field(() => String, { description: 'Where: `payloadQuery` or `filter`.' })
  field!: string;

  @Field(() => String, { description: 'What was expected and what came.' })
  message!: string;

  @Field(() => Int, { nullable: true, description: 'The line of the document, from 1; null where it has no place there.' })
  line!: number | null;

  @Field(() => Int, { nullable: true, description: 'The column in that line, from 1.' })
  column!: number | null;
}

@ObjectType({ description: 'A part of a filter that an event does not meet.' })
export class UnmetCondition implements FailedCondition {
  @Field(() => String, { description: 'Where in the event: `payload.order.total`; empty where it is about the event as a whole.' })
  path!: string;

  @Field(() => String, { description: 'How it is compared: `$gte`.' })
  operator!: string;

  @Field(() => GraphQLJSON, { nullable: true, description: 'What the filter has there.' })
  expected!: unknown;

  @Field(() => String, {
    nullable: true,
    description:
      'What the event has there, for people: shortened, several where the path leads through a list; null where there is nothing.',
  })
  found!: string | null;
}

@ObjectType({ description: 'Whether an event would be delivered.' })
export class PreviewedEvent {
  @Field(() => Event, { description: 'The event.' })
  event!: Event;

  @Field(() => Boolean, { description: 'Whether it would be delivered.' })
  isTaken!: boolean;

  @Field(() => String, { nullable: true, description: 'Why not; null where it would be.' })
  reason!: string | null;

  @Field(() => [UnmetCondition], {
    description: 'The parts of the filter that it does not meet, at most 20. Of an `$or` those of every choice: one of them would do.',
  })
  unmet!: readonly UnmetCondition[];

  /** What makes its body. */
  query!: PayloadQuery | null;
}

@ObjectType({ description: 'Which of the newest events would be delivered.' })
export class SelectionPreview {
  @Field(() => [PreviewedEvent], { description: 'Those that were looked at, newest first.' })
  events!: readonly PreviewedEvent[];

  @Field(() => Int, { description: 'How many of them would be delivered.' })
  taken!: number;

  @Field(() => Boolean, {
    description: 'Whether fewer were looked at than were asked for and are there: their payloads are large, or the filter takes long.',
  })
  isCut!: boolean;

  @Field(() => [PreviewProblem], { description: 'What is wrong with the filter or the query; no event is looked at then.' })
  problems!: readonly PreviewProblem[];
}

/** What a webhook, or one to be, selects by. */
export interface Previewed {
  readonly eventTypes?: readonly string[] | null | undefined;
  readonly filter?: unknown;
  readonly payloadQuery?: string | null | undefined;
}

export const MAX_PREVIEWED_EVENTS = 100;
const MAX_READ_BYTES = 8 * 1024 * 1024;
const EVENTS_PER_READ = 10;
/** Ten of the costliest matches: 50 to 150 ms, in slices. */
const MAX_UNITS_PER_PREVIEW = 10 * MAX_UNITS_PER_MATCH;

/** Looks at the newest events, a few at a time, as far as the work may go. Needs EVENTS_READ and PAYLOADS_READ. */
export async function previewSelection(
  context: Context,
  applicationId: string,
  { eventTypes, filter, payloadQuery }: Previewed,
  last: number,
): Promise<SelectionPreview> {
  if (!Number.isInteger(last) || last < 1 || last > MAX_PREVIEWED_EVENTS)
    throw new HubError('BAD_USER_INPUT', `last: expected a whole number from 1 to ${MAX_PREVIEWED_EVENTS}, got ${last}`);
  const types = eventTypes ?? DEFAULT_EVENT_TYPES;
  checkTypes(types);
  const { services, budget } = context;
  const query = typeof payloadQuery === 'string' ? services.compilePayloadQuery(payloadQuery) : null;
  const problems = [...filterProblems(filter ?? null), ...(query?.problems ?? []).map((one) => ({ ...one, field: 'payloadQuery' }))];
  if (problems.length > 0) return { events: [], taken: 0, isCut: false, problems };
  const tests = testsOf(filter ?? null, query);
  const events: PreviewedEvent[] = [];
  let [bytes, units] = [0, 0];
  for (let before: number | undefined; ; before = events.at(-1)?.event.sequence) {
    const most = Math.min(EVENTS_PER_READ, last - events.length);
    const rows = await budget.reading(() => services.events.newest(applicationId, before, most));
    const read = rows.reduce((sum, { payloadText }) => sum + payloadText.length, 0);
    bytes += read;
    if (!budget.read(read)) break;
    for (const event of rows) {
      const parsed = tests.length === 0 ? 0 : event.payloadText.length / CHARS_PARSED_PER_UNIT;
      if (services.slices.isOver(1 + parsed)) await services.slices.next(applicationId);
      const match = new MatchBudget();
      events.push({ event, query, ...explanationOf(event, types, query, tests, match) });
      units += parsed + match.spent;
      if (services.slices.isOver(match.spent)) await services.slices.next(applicationId);
      if (units > MAX_UNITS_PER_PREVIEW) break;
    }
    const isOver = units > MAX_UNITS_PER_PREVIEW || bytes > MAX_READ_BYTES;
    if (rows.length < most || events.length >= last || isOver) {
      const isAll = events.length >= last || (rows.length < most && events.at(-1)?.event === rows.at(-1));
      return { events, taken: events.filter(({ isTaken }) => isTaken).length, isCut: !isAll, problems: [] };
    }
  }
  return { events, taken: 0, isCut: true, problems: [] };
}

function checkTypes(types: readonly string[]): void {
  refuseLongList('eventTypes', types);
  for (const pattern of types) {
    const problem = eventTypePatternProblem(pattern);
    if (problem) throw new HubError('BAD_USER_INPUT', `eventTypes: ${problem}`);
  }
}

function filterProblems(filter: unknown): PreviewProblem[] {
  const compiled = filter === null ? null : compileCondition(filter);
  return compiled !== null && 'problem' in compiled ? [{ field: 'filter', message: compiled.problem, line: null, column: null }] : [];
}

interface Test {
  readonly whose: string;
  readonly isMet: (event: Event, budget: MatchBudget) => boolean | null;
  readonly explain: Explain;
}

/** The webhook's own condition and that of its payload query. */
function testsOf(filter: unknown, query: PayloadQuery | null): Test[] {
  return [
    { whose: 'the filter', given: filter },
    { whose: 'the filter of the payload query', given: query?.filter ?? null },
  ]
    .filter(({ given }) => given !== null)
    .map(({ whose, given }) => {
      const compiled = compileCondition(given);
      if ('problem' in compiled) throw new Error(compiled.problem); // checked before
      return { whose, isMet: (event, budget) => meets(compiled.condition, event, budget), explain: explainerFor(given) };
    });
}

type Explanation = Pick<PreviewedEvent, 'isTaken' | 'reason' | 'unmet'>;

const no = (reason: string, unmet: readonly FailedCondition[] = []): Explanation => ({ isTaken: false, reason, unmet });

function explanationOf(
  event: Event,
  types: readonly string[],
  query: PayloadQuery | null,
  tests: readonly Test[],
  budget: MatchBudget,
): Explanation {
  if (!wantsType(types, event.type)) return no(`eventTypes do not take ${event.type}`);
  if (query?.types && !matchesAnyType(query.types, event.type)) return no(`the types of the payload query do not take ${event.type}`);
  for (const { whose, isMet, explain } of tests) {
    const answer = isMet(event, budget);
    if (answer === null) return no(`${whose} takes too many comparisons for this event: compare with fewer values, or in fewer elements`);
    if (!answer) return no(`it does not meet ${whose}`, unmetBy(explain, event, budget));
  }
  return { isTaken: true, reason: null, unmet: [] };
}

/** As far as the budget of the match goes. */
function unmetBy(explain: Explain, event: Event, budget: MatchBudget): readonly FailedCondition[] {
  try {
    return explain(event, budget);
  } catch (error) {
    if (error instanceof OutOfBudget) return [];
    throw error;
  }
}
