import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { runInNewContext } from 'node:vm';
import { preset } from '@graphql-codegen/client-preset';
import { codegen } from '@graphql-codegen/core';
import { buildSchema, Kind, type NameNode, parse, print } from 'graphql';
import * as ofTheDemo from '../../src/demo/documents';
import { page, pages } from '../support/documentation';

const ROOT = resolve(__dirname, '../..');

interface CodegenConfig {
  readonly generates: Record<string, { readonly preset: string; readonly config: { readonly scalars: Record<string, string> } }>;
}

/** The configuration that the guide shows, as its one output has it. */
function configurationOfTheGuide() {
  const [, block = ''] = /<!-- example: codegen -->\s+```ts\n([\s\S]*?)```/.exec(page('schema/guide.md')) ?? [];
  const source = block
    .replace(/^import type .*$/m, '')
    .replace(': CodegenConfig', '')
    .replace('export default config', 'config');
  const { generates }: CodegenConfig = runInNewContext(source);
  const [output] = Object.values(generates);
  if (output === undefined) throw new Error('expected the codegen.ts of the guide to generate something');
  return output;
}

/** Every document of the examples, payload queries in them included, each operation with a name: `Example1`, `Example2` … */
function documentsOfTheExamples(): string[] {
  const found = [
    ...pages().flatMap((path) => [...page(path).matchAll(/^```graphql\n([\s\S]*?)^```/gm)].map(([, text = '']) => text)),
    ...Object.values(ofTheDemo),
  ];
  const inStrings = found.flatMap((text) => [...text.matchAll(/"""\s*(subscription\b[\s\S]*?)"""/g)].map(([, document = '']) => document));
  return [...found, ...inStrings].map((text, index) => {
    const document = parse(text);
    const name: NameNode = { kind: Kind.NAME, value: `Example${index + 1}` };
    return print({
      ...document,
      definitions: document.definitions.map((one) => (one.kind === Kind.OPERATION_DEFINITION ? { ...one, name } : one)),
    });
  });
}

/** What somebody writes with the generated types: the compiler says whether the scalars are what the guide says. */
const USE = `
import { graphql } from './gql/gql';
import type { ResultOf, VariablesOf } from '@graphql-typed-document-node/core';

const READ = graphql(\`query Read($after: DateTime) { events(first: 1, filter: { createdAfter: $after }) { nodes { sequence payload createdAt } } }\`);
const PUBLISH = graphql(\`mutation Publish($payload: JSON!) { eventPublish(input: { type: "a.b", payload: $payload }) { event { id } } }\`);

type Read = ResultOf<typeof READ>['events']['nodes'][number];
type Same<A, B> = [A, B] extends [B, A] ? true : never;
export const sequence: Same<Read['sequence'], number> = true;
export const createdAt: Same<Read['createdAt'], string> = true;
export const payload: Same<Read['payload'], unknown> = true;
export const after: VariablesOf<typeof READ> = { after: '2026-01-31T12:00:00Z' };
export const published: VariablesOf<typeof PUBLISH> = { payload: { no: 42 } };
// @ts-expect-error a number is no DateTime
export const wrong: VariablesOf<typeof READ> = { after: 42 };
`;

test("GraphQL Code Generator's client preset makes types of every example, which compile, with the guide's scalars", async () => {
  const output = configurationOfTheGuide();
  expect(output.preset).toBe('client');
  const sdl = page('schema/schema.graphql');
  const ofUse = [...USE.matchAll(/graphql\(`([^`]+)`\)/g)].map(([, text = '']) => text);
  const documents = [...documentsOfTheExamples(), ...ofUse].map((rawSDL, index) => ({
    location: `example-${index + 1}.graphql`,
    document: parse(rawSDL),
    rawSDL,
  }));
  expect(documents.length).toBeGreaterThan(10);

  const folder = await mkdtemp(join(tmpdir(), 'livehook-codegen-'));
  try {
    const files = await preset.buildGeneratesSection({
      baseOutputDir: `${folder}/gql/`,
      schema: parse(sdl),
      schemaAst: buildSchema(sdl),
      documents,
      config: output.config,
      presetConfig: {},
      plugins: [],
      pluginMap: {},
    });
    await mkdir(join(folder, 'gql'));
    await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    for (const file of files) {
      expect(dirname(file.filename)).toBe(join(folder, 'gql'));
      await writeFile(join(folder, 'gql', basename(file.filename)), await codegen(file));
    }
    await writeFile(join(folder, 'use.ts'), USE);
    const options = { strict: true, noEmit: true, module: 'nodenext', moduleResolution: 'nodenext', target: 'es2022', types: [] };
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: options, include: ['*.ts', 'gql/*.ts'] }));
    const { status, stdout } = spawnSync(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', folder], {
      encoding: 'utf8',
    });
    expect(stdout).toBe('');
    expect(status).toBe(0);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
