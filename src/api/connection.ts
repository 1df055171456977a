import { type GraphQLResolveInfo, Kind } from 'graphql';
import { Arg, type ClassType, Ctx, Field, Int, ObjectType } from 'type-graphql';
import { encodeKeyCursor } from '../cursor';
import { HubError } from '../errors';
import { MAX_COUNTED_ROWS, type Page, type PageRequest, type TotalCount } from '../store/page';
import { type Context, searchAllowance } from './context';

export const MAX_FIRST = 100;
export const DEFAULT_FIRST = 50;

@ObjectType({ description: 'Where a page stands in its list.' })
export class PageInfo {
  @Field(() => Boolean, { description: 'Whether there is more after `endCursor`.' })
  hasNextPage!: boolean;

  @Field(() => Boolean, {
    description: 'Whether there is more before `startCursor`; of a page that was asked for with `first`, whether it was with `after`.',
  })
  hasPreviousPage!: boolean;

  @Field(() => String, { nullable: true, description: 'The cursor of the first edge.' })
  startCursor!: string | null;

  @Field(() => String, { nullable: true, description: 'Pass it as `after` for the next page.' })
  endCursor!: string | null;
}

@ObjectType('TotalCount', { description: 'How long a list is.' })
class TotalCountType implements TotalCount {
  @Field(() => Int, { description: `How many rows: exact up to ${MAX_COUNTED_ROWS.toLocaleString('en')}.` })
  count!: number;

  @Field(() => Boolean, {
    description:
      'Whether there may be more rows than `count`: it stops at its limit, and where it has to search, when it has looked far enough.',
  })
  isCapped!: boolean;
}

export interface Edge<Row> {
  readonly cursor: string;
  readonly node: Row;
}

export interface Connection<Row> {
  readonly edges: readonly Edge<Row>[];
  readonly nodes: readonly Row[];
  readonly pageInfo: PageInfo;
  readonly searchedUntil: Date | null;
  /** Called where somebody asks for `totalCount`. */
  readonly count: Page<Row>['count'];
}

/** The Relay connection type of a record: `EventConnection` with `EventEdge`s for `Event`. */
export function connectionType<Row extends object>(row: ClassType<Row>): ClassType {
  @ObjectType(`${row.name}Edge`, { description: 'A row of a list and where it stands there.' })
  class EdgeType implements Edge<Row> {
    @Field(() => String, { description: 'Pass it as `after` to go on behind this row.' })
    cursor!: string;

    @Field(() => row, { description: 'The row.' })
    node!: Row;
  }

  @ObjectType(`${row.name}Connection`, { description: 'A page of a list, by keyset: rows that come or go meanwhile shift nothing.' })
  class ConnectionType {
    @Field(() => [EdgeType], { description: 'The rows with their cursors.' })
    edges!: EdgeType[];

    @Field(() => [row], { description: 'The nodes of the edges.' })
    nodes!: Row[];

    @Field(() => PageInfo, { description: 'Whether there is more, and how to ask for it.' })
    pageInfo!: PageInfo;

    @Field(() => TotalCountType, {
      description:
        'How many rows the whole list has, by the same filter. Counted when it is asked for: leave it out where nobody looks at it.',
    })
    totalCount(@Ctx() context: Context): Promise<TotalCount> {
      const { count } = this as unknown as Connection<Row>;
      return context.budget.reading(() => count(searchAllowance(context)));
    }
  }

  return ConnectionType;
}

/** The same for lists with filters that no index answers. */
export function searchedConnectionType<Row extends object>(row: ClassType<Row>): ClassType {
  const Base = connectionType(row) as ClassType<object>;

  @ObjectType(`${row.name}Connection`, {
    description:
      'A page of a list, by keyset: rows that come or go meanwhile shift nothing. A filter may have to search, which ends in time: then the page has fewer rows than asked for, or none, and `searchedUntil` says how far it came.',
  })
  class SearchedConnectionType extends Base {
    @Field(() => Date, {
      nullable: true,
      description:
        'Where the search for this page was ended, for it had taken long: rows stored earlier were not looked at. Go on with `endCursor`. Null: it came to its end.',
    })
    searchedUntil!: Date | null;
  }

  return SearchedConnectionType;
}

export interface PageArguments {
  readonly first?: number | null;
  readonly after?: string | null;
}

/** `first` and `after` as a list takes them; `decode` turns the cursor into the row's key or throws. */
export function pageRequest({ first: given, after }: PageArguments, decode: (cursor: string) => string): PageRequest {
  const first = given ?? DEFAULT_FIRST;
  checkSize('first', first);
  return { first, after: after === undefined || after === null ? undefined : decode(after) };
}

function checkSize(name: 'first' | 'last', size: number): void {
  if (!Number.isInteger(size) || size < 1 || size > MAX_FIRST)
    throw new HubError('BAD_USER_INPUT', `${name}: expected a whole number from 1 to ${MAX_FIRST}, got ${size}`);
}

export function connection<Row>(
  { rows, hasNextPage, leftOff, count }: Page<Row>,
  cursorOf: (row: Row) => string,
  request: PageRequest,
  /** Of a key, where a search left off. */
  cursorAt: (key: string) => string = encodeKeyCursor,
): Connection<Row> {
  const edges = rows.map((node) => ({ node, cursor: cursorOf(node) }));
  return {
    edges,
    nodes: rows,
    pageInfo: {
      hasNextPage,
      hasPreviousPage: request.after !== undefined,
      startCursor: edges[0]?.cursor ?? null,
      endCursor: leftOff ? cursorAt(leftOff.key) : (edges.at(-1)?.cursor ?? null),
    },
    searchedUntil: leftOff?.at ?? null,
    count,
  };
}

export interface EitherEndArguments extends PageArguments {
  readonly last?: number | null;
  readonly before?: string | null;
}

/** A page from one end of a list: from the beginning with `first`, from the end with `last`, within `after` and `before`. */
export interface EitherEndRequest {
  /** In the direction in which the list is read. */
  readonly request: PageRequest;
  readonly isFromEnd: boolean;
}

export function eitherEndRequest({ first, last, after, before }: EitherEndArguments, decode: (cursor: string) => string): EitherEndRequest {
  const isFromEnd = typeof last === 'number';
  if (isFromEnd && typeof first === 'number') throw new HubError('BAD_USER_INPUT', 'last: expected either first or last, got both');
  if (isFromEnd) checkSize('last', last);
  const { after: begin, first: most } = pageRequest({ first: isFromEnd ? last : first, after }, decode);
  const end = before === undefined || before === null ? undefined : decoded(before, decode);
  return { request: isFromEnd ? { first: most, after: end, before: begin } : { first: most, after: begin, before: end }, isFromEnd };
}

/** Whether an argument was written, or has its default. */
export function isGiven({ fieldNodes, variableValues }: GraphQLResolveInfo, name: string): boolean {
  const value = fieldNodes[0]?.arguments?.find((argument) => argument.name.value === name)?.value;
  return value !== undefined && (value.kind !== Kind.VARIABLE || Object.hasOwn(variableValues, value.name.value));
}

/** As `decode` says it of `after`. */
function decoded(before: string, decode: (cursor: string) => string): string {
  try {
    return decode(before);
  } catch (error) {
    if (error instanceof HubError) throw new HubError(error.code, error.message.replace(/^after:/, 'before:'));
    throw error;
  }
}

/** A page that was read from either end, in the order of the list. */
export function eitherEndConnection<Row>(
  page: Page<Row>,
  cursorOf: (row: Row) => string,
  { request, isFromEnd }: EitherEndRequest,
): Connection<Row> {
  if (!isFromEnd) return connection(page, cursorOf, request);
  const { pageInfo, ...rest } = connection({ ...page, rows: [...page.rows].reverse() }, cursorOf, request);
  return { ...rest, pageInfo: { ...pageInfo, hasNextPage: request.after !== undefined, hasPreviousPage: page.hasNextPage } };
}

/** How many of a list: the argument that all of them share. */
export const First = () =>
  Arg('first', () => Int, { nullable: true, defaultValue: DEFAULT_FIRST, description: `How many at most: 1 to ${MAX_FIRST}.` });

/** Where in a list to go on. */
export const After = () =>
  Arg('after', () => String, { nullable: true, description: 'The `endCursor` of the page before, or the `cursor` of any edge.' });
