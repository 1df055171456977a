import { parentPort } from 'node:worker_threads';
import { LRUCache } from 'lru-cache';
import { type Compiled, compileSchema, type SchemaViolation } from './payload-schema';

/** A schema, and a payload where one is to be checked: both as JSON. */
export interface SchemaTask {
  readonly schema: string;
  readonly payload: string | null;
}

export type SchemaAnswer =
  | { readonly violation: SchemaViolation | null }
  /** What is wrong with the schema. */
  | { readonly problem: string }
  /** The check itself failed. */
  | { readonly failed: string };

const MAX_COMPILED = 50;
const MAX_COMPILED_CHARS = 512 * 1024;

const compiled = new LRUCache<string, Compiled>({
  max: MAX_COMPILED,
  maxSize: MAX_COMPILED_CHARS,
  sizeCalculation: (_compiled, schema) => schema.length + 1,
});

function find(schema: string): Compiled {
  const known = compiled.get(schema);
  if (known) return known;
  const made = compileSchema(JSON.parse(schema));
  compiled.set(schema, made);
  return made;
}

function answer({ schema, payload }: SchemaTask): SchemaAnswer {
  const known = find(schema);
  if ('problem' in known || payload === null) return 'problem' in known ? known : { violation: null };
  try {
    return { violation: known.check(JSON.parse(payload)) };
  } catch (error) {
    // References that lead in a circle, or a payload that is nested as deeply as the schema lets it.
    if (error instanceof RangeError) return { failed: 'its references go too deep' };
    throw error;
  }
}

/** The thread: its messages are SchemaTasks, each answered with a SchemaAnswer, in order. */
parentPort?.on('message', (task: SchemaTask) => parentPort?.postMessage(answer(task)));
parentPort?.postMessage('ready');
