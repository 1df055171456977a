import { GraphQLError, Kind, type ValueNode } from 'graphql';
import { MOST_JSON_DEPTH } from '../json';
import { rememberText, writtenAs } from '../json-source';

type Variables = Readonly<Record<string, unknown>> | null | undefined;

/** JSON as a value and as text, and how many levels it has. */
interface Json {
  readonly value: unknown;
  /** Undefined: a variable that was not given. */
  readonly text: string | undefined;
  readonly depth: number;
}

/**
 * Reads JSON that is written into a document. As with variables its text is kept, since JavaScript would round its
 * numbers and move its names.
 */
export function parseJsonLiteral(node: ValueNode, variables?: Variables): unknown {
  const { value, text, depth } = read(node, variables, 1);
  if (node.kind !== Kind.VARIABLE && typeof value === 'object' && value !== null) rememberText(value, text ?? 'null', depth);
  return value;
}

function read(node: ValueNode, variables: Variables, level: number): Json {
  if (level > MOST_JSON_DEPTH) throw new GraphQLError(`expected JSON of at most ${MOST_JSON_DEPTH} levels, got more`, { nodes: node });
  switch (node.kind) {
    case Kind.STRING:
    case Kind.BOOLEAN:
      return { value: node.value, text: JSON.stringify(node.value), depth: 0 };
    case Kind.INT:
    case Kind.FLOAT:
      return { value: Number.parseFloat(node.value), text: node.value, depth: 0 }; // both languages write numbers alike
    case Kind.NULL:
      return { value: null, text: 'null', depth: 0 };
    case Kind.LIST: {
      const items = node.values.map((item) => read(item, variables, level + 1));
      return {
        value: items.map(({ value }) => value),
        text: `[${items.map(({ text }) => text ?? 'null').join()}]`,
        depth: 1 + deepest(items),
      };
    }
    case Kind.OBJECT: {
      const members = node.fields.map((field) => ({ name: field.name.value, ...read(field.value, variables, level + 1) }));
      const value: Record<string, unknown> = Object.create(null); // `__proto__` is a name as any other
      for (const member of members) value[member.name] = member.value;
      const given = members.filter(({ text }) => text !== undefined);
      return { value, text: `{${given.map(({ name, text }) => `"${name}":${text}`).join()}}`, depth: 1 + deepest(members) };
    }
    case Kind.VARIABLE:
      return ofVariable(variables?.[node.name.value]);
    case Kind.ENUM:
      return { value: undefined, text: undefined, depth: 0 };
  }
}

function ofVariable(value: unknown): Json {
  const written = writtenAs(value);
  if (written) return { value, text: written.source.slice(written.start, written.end), depth: written.depth };
  return { value, text: JSON.stringify(value), depth: 0 };
}

function deepest(parts: readonly Json[]): number {
  return parts.reduce((most, { depth }) => Math.max(most, depth), 0);
}
