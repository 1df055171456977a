import { GraphQLError, Kind, type ValueNode } from 'graphql';
import { MAX_JSON_DEPTH } from '../json';
import { exactScalar, JSON_NULL, Oversized, plainJson, rememberText, writtenAs } from '../json-source';

type Variables = Readonly<Record<string, unknown>> | null | undefined;

/** Of variables within one literal: a document can name one of a megabyte by the thousand. Twice what a payload may have, as white space goes. */
const MAX_VARIABLE_CHARS_PER_LITERAL = 2 * 1024 * 1024;

/**
 * Reads JSON that is written into a document. As with variables its text is what is published, since JavaScript would
 * round its numbers and move its names; it is made when it is asked for, as documents are read several times.
 */
export function parseJsonLiteral(node: ValueNode, variables?: Variables): unknown {
  if (node.kind === Kind.ENUM && node.value === 'null') return JSON_NULL; // see `takeNullAsJson`
  const value = new Reading(variables).read(node, 1);
  if (node.kind === Kind.OBJECT || node.kind === Kind.LIST) rememberText(value as object, () => write(node, variables));
  const isRounded = typeof value === 'number' && 'value' in node && String(value) !== node.value;
  return isRounded ? exactScalar(value, node.value as string) : value;
}

class Reading {
  readonly #variables: Variables;
  #chars = 0;

  constructor(variables: Variables) {
    this.#variables = variables;
  }

  read(node: ValueNode, level: number): unknown {
    if (level > MAX_JSON_DEPTH) throw new GraphQLError(`expected JSON of at most ${MAX_JSON_DEPTH} levels, got more`, { nodes: node });
    switch (node.kind) {
      case Kind.STRING:
      case Kind.BOOLEAN:
        return node.value;
      case Kind.INT:
      case Kind.FLOAT:
        return Number.parseFloat(node.value);
      case Kind.NULL:
        return null;
      case Kind.LIST:
        return node.values.map((item) => this.read(item, level + 1));
      case Kind.OBJECT: {
        const value: Record<string, unknown> = Object.create(null); // `__proto__` is a name as any other
        for (const field of node.fields) value[field.name.value] = this.read(field.value, level + 1);
        return value;
      }
      case Kind.VARIABLE: {
        const value = this.#variables?.[node.name.value];
        this.#chars += charsOf(value);
        if (value instanceof Oversized || (level > 1 && this.#chars > MAX_VARIABLE_CHARS_PER_LITERAL))
          throw new GraphQLError(`expected variables of at most ${MAX_VARIABLE_CHARS_PER_LITERAL} characters in JSON, got more`);
        return plainJson(value);
      }
      case Kind.ENUM:
        throw new GraphQLError(`expected JSON, got the name ${node.value}: a string stands in quotes`, { nodes: node });
    }
  }
}

function charsOf(value: unknown): number {
  if (typeof value === 'string') return value.length;
  const came = writtenAs(value);
  return came ? came.end - came.start : 0;
}

interface Json {
  readonly text: string;
  readonly depth: number;
}

function write(node: ValueNode, variables: Variables): Json {
  switch (node.kind) {
    case Kind.STRING:
    case Kind.BOOLEAN:
      return { text: JSON.stringify(node.value), depth: 0 };
    case Kind.INT:
    case Kind.FLOAT:
      return { text: node.value, depth: 0 }; // both languages write numbers alike
    case Kind.NULL:
    case Kind.ENUM: // was refused
      return { text: 'null', depth: 0 };
    case Kind.LIST: {
      const items = node.values.map((item) => write(item, variables));
      return { text: `[${items.map(({ text }) => text).join()}]`, depth: 1 + deepest(items) };
    }
    case Kind.OBJECT: {
      const given = node.fields.filter(({ value }) => value.kind !== Kind.VARIABLE || variables?.[value.name.value] !== undefined);
      const members = given.map(({ value }) => write(value, variables));
      const text = members.map((member, index) => `"${given[index]?.name.value}":${member.text}`).join();
      return { text: `{${text}}`, depth: 1 + deepest(members) };
    }
    case Kind.VARIABLE: {
      const value = variables?.[node.name.value];
      const came = writtenAs(value);
      if (came) return { text: came.source.slice(came.start, came.end), depth: came.depth };
      return { text: JSON.stringify(value) ?? 'null', depth: 0 };
    }
  }
}

function deepest(parts: readonly Json[]): number {
  return parts.reduce((most, { depth }) => Math.max(most, depth), 0);
}
