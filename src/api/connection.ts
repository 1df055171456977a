import { Arg, type ClassType, Field, Int, ObjectType } from 'type-graphql';
import { HubError } from '../errors';
import type { Page, PageRequest } from '../store/page';

export const MAX_FIRST = 100;
export const DEFAULT_FIRST = 50;

@ObjectType({ description: 'Where a page stands in its list.' })
export class PageInfo {
  @Field(() => Boolean, { description: 'Whether there is more after `endCursor`.' })
  hasNextPage!: boolean;

  @Field(() => Boolean, { description: 'Whether this page was asked for with `after`.' })
  hasPreviousPage!: boolean;

  @Field(() => String, { nullable: true, description: 'The cursor of the first edge.' })
  startCursor!: string | null;

  @Field(() => String, { nullable: true, description: 'Pass it as `after` for the next page.' })
  endCursor!: string | null;
}

export interface Edge<Row> {
  readonly cursor: string;
  readonly node: Row;
}

export interface Connection<Row> {
  readonly edges: readonly Edge<Row>[];
  readonly nodes: readonly Row[];
  readonly pageInfo: PageInfo;
}

/** The Relay connection type of a record: `EventConnection` with `EventEdge`s for `Event`. */
export function connectionType<Row extends object>(row: ClassType<Row>): ClassType<Connection<Row>> {
  @ObjectType(`${row.name}Edge`, { description: 'A row of a list and where it stands there.' })
  class EdgeType implements Edge<Row> {
    @Field(() => String, { description: 'Pass it as `after` to go on behind this row.' })
    cursor!: string;

    @Field(() => row, { description: 'The row.' })
    node!: Row;
  }

  @ObjectType(`${row.name}Connection`, { description: 'A page of a list, by keyset: rows that come or go meanwhile shift nothing.' })
  class ConnectionType implements Connection<Row> {
    @Field(() => [EdgeType], { description: 'The rows with their cursors.' })
    edges!: EdgeType[];

    @Field(() => [row], { description: 'The nodes of the edges.' })
    nodes!: Row[];

    @Field(() => PageInfo, { description: 'Whether there is more, and how to ask for it.' })
    pageInfo!: PageInfo;
  }

  return ConnectionType;
}

export interface PageArguments {
  readonly first?: number | null;
  readonly after?: string | null;
}

/** `first` and `after` as a list takes them; `decode` turns the cursor into the row's key or throws. */
export function pageRequest({ first: given, after }: PageArguments, decode: (cursor: string) => string): PageRequest {
  const first = given ?? DEFAULT_FIRST;
  if (!Number.isInteger(first) || first < 1 || first > MAX_FIRST)
    throw new HubError('BAD_USER_INPUT', `first: expected a whole number from 1 to ${MAX_FIRST}, got ${first}`);
  return { first, after: after === undefined || after === null ? undefined : decode(after) };
}

export function connection<Row>({ rows, hasNextPage }: Page<Row>, cursorOf: (row: Row) => string, request: PageRequest): Connection<Row> {
  const edges = rows.map((node) => ({ node, cursor: cursorOf(node) }));
  return {
    edges,
    nodes: rows,
    pageInfo: {
      hasNextPage,
      hasPreviousPage: request.after !== undefined,
      startCursor: edges[0]?.cursor ?? null,
      endCursor: edges.at(-1)?.cursor ?? null,
    },
  };
}

/** How many of a list: the argument that all of them share. */
export const First = () =>
  Arg('first', () => Int, { nullable: true, defaultValue: DEFAULT_FIRST, description: `How many at most: 1 to ${MAX_FIRST}.` });

/** Where in a list to go on. */
export const After = () =>
  Arg('after', () => String, { nullable: true, description: 'The `endCursor` of the page before, or the `cursor` of any edge.' });
