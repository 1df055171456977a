import {
  type ASTNode,
  type DocumentNode,
  type GraphQLArgument,
  GraphQLError,
  type GraphQLFieldResolver,
  type GraphQLInputType,
  type GraphQLSchema,
  getNamedType,
  isInputObjectType,
  isListType,
  isNonNullType,
  isObjectType,
  Kind,
  type OperationDefinitionNode,
  TypeInfo,
  typeFromAST,
  type ValueNode,
  visit,
  visitWithTypeInfo,
} from 'graphql';
import { HubError } from '../errors';
import { exactScalar, JSON_NULL, MAX_CHARS_PER_PIECE, notesOf, Oversized, plainJson, Unparsed, type VariableNotes } from '../json-source';

/*
 * A payload that is a mere number or string keeps its text only in a box, one of a large request stays text, and one that is
 * too long is not even parsed. All of these stand in the variables where their type is JSON, and reach a resolver only as
 * `payload`: other JSON is plain.
 */

/** The input fields and arguments that take them. */
const PAYLOAD = 'payload';

/** Puts what was noted of the variables into them, where their types allow for it; what is wrong with them where not. */
export function exactVariables(
  schema: GraphQLSchema,
  { variableDefinitions = [] }: OperationDefinitionNode,
  variables: Readonly<Record<string, unknown>>,
): GraphQLError | undefined {
  const notes = notesOf(variables);
  if (notes === undefined) return undefined;
  const noting = new Noting(notes);
  for (const { type, variable } of variableDefinitions) {
    const typed = typeFromAST(schema, type as never) as GraphQLInputType | undefined;
    if (typed) noting.put(typed, variables, variable.name.value);
  }
  const misplaced = notes.unparsed.filter(({ value }) => !noting.placed.has(value));
  const chars = misplaced.reduce((sum, { value }) => sum + value.chars, 0);
  if (noting.oversizedLeft > 0 || chars > MAX_CHARS_PER_PIECE) return new GraphQLError(TOO_LONG, { nodes: variableDefinitions });
  for (const { parent, key, value } of misplaced) Object.assign(parent, { [key]: value.parse() });
  return undefined;
}

const TOO_LONG = 'expected JSON of at most 1 MiB, and as much in a variable beside its payloads, got more';

/** In the place of a null in a document. The parser makes no enum value of this name. */
const NULL_AS_JSON: ValueNode = { kind: Kind.ENUM, value: 'null' };

/**
 * Lets null be written in a document where JSON is required, as it may be in variables: GraphQL takes it for nothing at
 * all, but it is JSON, and an input of the type `JSON!` is to be some JSON. `parseJsonLiteral` reads it.
 */
export function takeNullAsJson(schema: GraphQLSchema, document: DocumentNode): void {
  if (document.loc && !document.loc.source.body.includes('null')) return;
  const types = new TypeInfo(schema);
  const isRequiredJson = (node: ValueNode | undefined) => node?.kind === Kind.NULL && String(types.getInputType()) === 'JSON!';
  const take = (node: ASTNode) => {
    if ((node.kind === Kind.ARGUMENT || node.kind === Kind.OBJECT_FIELD) && isRequiredJson(node.value))
      Object.assign(node, { value: NULL_AS_JSON });
    if (node.kind === Kind.VARIABLE_DEFINITION && isRequiredJson(node.defaultValue)) Object.assign(node, { defaultValue: NULL_AS_JSON });
  };
  visit(document, visitWithTypeInfo(types, { enter: take }));
}

class Noting {
  readonly placed = new Set<Unparsed>();
  oversizedLeft: number;
  readonly #notes: VariableNotes;

  constructor(notes: VariableNotes) {
    this.#notes = notes;
    this.oversizedLeft = notes.oversized;
  }

  put(type: GraphQLInputType, parent: object, key: string | number, isRequired = false): void {
    if (!Object.hasOwn(parent, key) || !hasJson(type)) return;
    const value: unknown = parent[key as keyof typeof parent];
    if (isNonNullType(type)) this.put(type.ofType, parent, key, true);
    else if (isListType(type)) {
      if (Array.isArray(value)) for (let index = 0; index < value.length; index++) this.put(type.ofType, value, index);
      else this.put(type.ofType, parent, key); // a list of one may be written as that one
    } else if (!isInputObjectType(type)) this.#json({ value, parent, key, isRequired });
    else if (typeof value === 'object' && value !== null)
      for (const field of Object.values(type.getFields())) this.put(field.type, value, field.name);
  }

  #json({ value, parent, key, isRequired }: { value: unknown; parent: object; key: string | number; isRequired: boolean }): void {
    if (value instanceof Oversized) this.oversizedLeft--;
    else if (value instanceof Unparsed) this.placed.add(value);
    const text = this.#notes.exact.get(parent)?.get(key);
    // GraphQL takes null for nothing at all. Where JSON is required it is a value.
    if (text !== undefined && value === null && isRequired) Object.assign(parent, { [key]: JSON_NULL });
    else if (text !== undefined && value !== null) Object.assign(parent, { [key]: exactScalar(value as number | string, text) });
  }
}

/** Whether there is JSON in values of this type; and whether there is other JSON than payloads. */
const hasJson = remembered((type) => leadsToJson(type, () => true));
const hasOtherJson = remembered((type) => leadsToJson(type, (name) => name !== PAYLOAD));

function remembered(find: (type: GraphQLInputType) => boolean): (type: GraphQLInputType) => boolean {
  const known = new WeakMap<GraphQLInputType, boolean>();
  return (type) => {
    const has = known.get(type) ?? find(type);
    known.set(type, has);
    return has;
  };
}

function leadsToJson(type: GraphQLInputType, counts: (name: string) => boolean, seen = new Set<unknown>()): boolean {
  const named = getNamedType(type);
  if (!isInputObjectType(named)) return named.name === 'JSON';
  if (seen.has(named)) return false;
  seen.add(named);
  return Object.values(named.getFields()).some((field) => counts(field.name) && leadsToJson(field.type, counts, seen));
}

/** Lets resolvers get other JSON than payloads as plain values. */
export function plainArguments(schema: GraphQLSchema): void {
  for (const type of Object.values(schema.getTypeMap())) {
    if (!isObjectType(type) || type.name.startsWith('__')) continue;
    for (const field of Object.values(type.getFields())) {
      const args = field.args.filter(({ name, type: given }) => name !== PAYLOAD && hasOtherJson(given));
      if (args.length === 0) continue;
      if (field.resolve) field.resolve = withPlain(args, field.resolve);
      if (field.subscribe) field.subscribe = withPlain(args, field.subscribe);
    }
  }
}

function withPlain<S, C>(args: readonly GraphQLArgument[], resolve: GraphQLFieldResolver<S, C>): GraphQLFieldResolver<S, C> {
  return (source, given, context, info) => {
    for (const { name, type } of args) makePlain(type, given, name);
    return resolve(source, given, context, info);
  };
}

function makePlain(type: GraphQLInputType, parent: object, key: string | number): void {
  const value: unknown = parent[key as keyof typeof parent];
  if (typeof value !== 'object' || value === null || key === PAYLOAD || !hasOtherJson(type)) return;
  if (isNonNullType(type)) makePlain(type.ofType, parent, key);
  else if (isListType(type) && Array.isArray(value))
    for (let index = 0; index < value.length; index++) makePlain(type.ofType, value, index);
  else if (isInputObjectType(type)) for (const field of Object.values(type.getFields())) makePlain(field.type, value, field.name);
  else if (value instanceof Oversized) throw new HubError('BAD_USER_INPUT', `${key}: expected JSON of at most 1 MiB, got more`);
  else Object.assign(parent, { [key]: plainJson(value) });
}
