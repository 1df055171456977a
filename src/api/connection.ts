import { type ClassType, Field, Int, ObjectType } from 'type-graphql';
import { HubError } from '../errors';
import type { Page, PageRequest } from '../store/page';

export const MOST_FIRST = 100;

@ObjectType({ description: 'Where a page stands in its list.' })
export class PageInfo {
  @Field(() => Boolean)
  hasNextPage!: boolean;

  @Field(() => Boolean)
  hasPreviousPage!: boolean;

  @Field(() => String, { nullable: true })
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
  @ObjectType(`${row.name}Edge`)
  class EdgeType implements Edge<Row> {
    @Field(() => String)
    cursor!: string;

    @Field(() => row)
    node!: Row;
  }

  @ObjectType(`${row.name}Connection`, { description: 'A page of a list, by keyset: rows that come or go meanwhile shift nothing.' })
  class ConnectionType implements Connection<Row> {
    @Field(() => [EdgeType])
    edges!: EdgeType[];

    @Field(() => [row], { description: 'The nodes of the edges.' })
    nodes!: Row[];

    @Field(() => PageInfo)
    pageInfo!: PageInfo;
  }

  return ConnectionType;
}

export interface PageArguments {
  readonly first: number;
  readonly after?: string | null;
}

/** `first` and `after` as a list takes them; `decode` turns the cursor into the row's key or throws. */
export function pageRequest({ first, after }: PageArguments, decode: (cursor: string) => string): PageRequest {
  if (!Number.isInteger(first) || first < 1 || first > MOST_FIRST)
    throw new HubError('BAD_USER_INPUT', `first: expected a whole number from 1 to ${MOST_FIRST}, got ${first}`);
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

/** How every list is asked for. */
export const FIRST = { type: () => Int, options: { defaultValue: 50, description: `How many at most: 1 to ${MOST_FIRST}.` } } as const;
