import { type ExecutionArgs, GraphQLObjectType, GraphQLScalarType, GraphQLSchema, GraphQLString, parse } from 'graphql';
import { Budget } from '../../src/api/budget';
import type { Context } from '../../src/api/context';
import { Results, SharedResults } from '../../src/api/shared-results';
import { Unsent } from '../../src/api/unsent';
import { SECOND } from '../../src/clock';
import { Stream } from '../../src/live/stream';
import { FakeClock } from '../support/fake-clock';

interface Thing {
  name: string;
  redactedAt?: Date;
}

/** A schema with the subscription `thing(after) { name(as) }`, which counts how often `name` is resolved. */
function setUp() {
  const clock = new FakeClock();
  const resolved: string[] = [];
  const waiting: Thing[][] = [];
  const thing = new GraphQLObjectType<Thing>({
    name: 'Thing',
    fields: {
      name: {
        type: GraphQLString,
        args: { as: { type: GraphQLString } },
        resolve: ({ name }, { as }: { as?: string }) => {
          resolved.push(name);
          return as === 'fault' ? Promise.reject(new Error('a fault')) : `${as ?? ''}${name}`;
        },
      },
    },
  });
  const query = new GraphQLObjectType({ name: 'Query', fields: { a: { type: new GraphQLScalarType({ name: 'A' }) } } });
  const subscription = new GraphQLObjectType({
    name: 'Subscription',
    fields: {
      thing: {
        type: thing,
        args: { after: { type: GraphQLString } },
        resolve: (root: Thing) => root,
        subscribe: () => {
          const take = async () => waiting.shift() ?? [];
          return new Stream<Thing>(
            async () => (await take())[0],
            () => {},
            take,
          );
        },
      },
    },
  });
  const schema = new GraphQLSchema({ query, subscription });
  const renewed = ({ document }: ExecutionArgs) => {
    const budget = new Budget({ document, isMutation: false, unsent: new Unsent(1e9).open(null, null), exceeded: () => {} });
    return { budget } as Context;
  };
  const shared = new SharedResults({
    clock,
    renewed,
    write: ({ errors, ...result }) => Buffer.from(JSON.stringify(errors ? { ...result, errors: 'presented' } : result)),
  });
  const documents = new Map<string, ReturnType<typeof parse>>();
  const subscribe = async (
    text: string,
    { key = 'key_1', scopes = [], variables = {} }: { key?: string; scopes?: string[]; variables?: Record<string, unknown> } = {},
  ) => {
    const document = documents.get(text) ?? parse(text);
    documents.set(text, document);
    const contextValue = { caller: { apiKey: { id: key }, scopes: new Set(scopes) } };
    const results = await shared.subscribe({ schema, document, variableValues: variables, contextValue } as ExecutionArgs);
    if (!(results instanceof Results)) throw new Error(`expected results, got ${JSON.stringify(results)}`);
    return { take: async () => (await results.take()).map((text) => text.toString()), return: () => results.return() };
  };
  return { clock, resolved, waiting, subscribe };
}

const DOCUMENT = 'subscription ($after: String, $as: String) { thing(after: $after) { name(as: $as) } }';

test('those who ask for the same share one execution, whatever place they started from', async () => {
  const { resolved, waiting, subscribe } = setUp();
  const things = [{ name: 'one' }, { name: 'two' }];
  waiting.push(things, things);
  const subscribers = [await subscribe(DOCUMENT, { variables: { after: '1' } }), await subscribe(DOCUMENT, { variables: { after: '2' } })];
  for (const results of subscribers)
    expect(await results.take()).toEqual(['{"data":{"thing":{"name":"one"}}}', '{"data":{"thing":{"name":"two"}}}']);
  expect(resolved).toEqual(['one', 'two']);
});

test.each([
  ['another key', { key: 'key_2' }, '{"data":{"thing":{"name":"one"}}}'],
  ['the same key with other scopes', { scopes: ['PAYLOADS_READ'] }, '{"data":{"thing":{"name":"one"}}}'],
  ['another variable below the root field', { variables: { as: 'the ' } }, '{"data":{"thing":{"name":"the one"}}}'],
])('%s has an execution of its own', async (_, options, expected) => {
  const { resolved, waiting, subscribe } = setUp();
  const things = [{ name: 'one' }];
  waiting.push(things, things);
  expect(await (await subscribe(DOCUMENT)).take()).toEqual(['{"data":{"thing":{"name":"one"}}}']);
  expect(await (await subscribe(DOCUMENT, options)).take()).toEqual([expected]);
  expect(resolved).toEqual(['one', 'one']);
});

test('a variable within a fragment counts as well', async () => {
  const { waiting, subscribe } = setUp();
  const document = 'subscription ($as: String) { thing { ...f } } fragment f on Thing { name(as: $as) }';
  const things = [{ name: 'one' }];
  waiting.push(things, things);
  expect(await (await subscribe(document, { variables: { as: 'a ' } })).take()).toEqual(['{"data":{"thing":{"name":"a one"}}}']);
  expect(await (await subscribe(document, { variables: { as: 'b ' } })).take()).toEqual(['{"data":{"thing":{"name":"b one"}}}']);
});

test('what was redacted, and what was made a while ago, is made again', async () => {
  const { clock, resolved, waiting, subscribe } = setUp();
  const thing: Thing = { name: 'one' };
  const things = [thing];
  waiting.push(things, things, things);
  const results = await subscribe(DOCUMENT);
  await results.take();
  thing.name = 'blank';
  thing.redactedAt = new Date();
  expect(await results.take()).toEqual(['{"data":{"thing":{"name":"blank"}}}']);
  await clock.advance(SECOND);
  expect(await results.take()).toEqual(['{"data":{"thing":{"name":"blank"}}}']);
  expect(resolved).toEqual(['one', 'blank', 'blank']);
});

test('a fault is presented, and once', async () => {
  const { resolved, waiting, subscribe } = setUp();
  const things = [{ name: 'one' }];
  waiting.push(things, things);
  const all = [await subscribe(DOCUMENT, { variables: { as: 'fault' } }), await subscribe(DOCUMENT, { variables: { as: 'fault' } })];
  for (const results of all) expect(await results.take()).toEqual(['{"data":{"thing":{"name":null}},"errors":"presented"}']);
  expect(resolved).toEqual(['one']);
});

test('it ends with its source, and one that is left gives nothing more', async () => {
  const { waiting, subscribe } = setUp();
  expect(await (await subscribe(DOCUMENT)).take()).toEqual([]);
  waiting.push([{ name: 'one' }]);
  const left = await subscribe(DOCUMENT);
  await left.return();
  expect(await left.take()).toEqual([]);
});
