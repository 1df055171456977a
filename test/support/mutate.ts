import type { Client } from './graphql-client';

export interface UserError {
  readonly field: readonly string[];
  readonly message: string;
  readonly code: string;
}

export type Payload<Fields> = Fields & { readonly userErrors: readonly UserError[] };

/**
 * Runs the mutation `name` with its `id`, its `input` or both, and returns its payload: what `selection` asks for and
 * the userErrors. Inputs are named after their mutations, as everywhere in the API.
 */
export async function mutate<Fields = object>(
  client: Client,
  name: string,
  variables: { readonly id?: string; readonly input?: object },
  selection = '__typename',
): Promise<Payload<Fields>> {
  const inputType = `${name.charAt(0).toUpperCase()}${name.slice(1)}Input!`;
  const given = [
    ...(variables.id === undefined ? [] : [['id', 'ID!'] as const]),
    ...(variables.input === undefined ? [] : [['input', inputType] as const]),
  ];
  const declared = given.map(([variable, type]) => `$${variable}: ${type}`).join(', ');
  const passed = given.map(([variable]) => `${variable}: $${variable}`).join(', ');
  const data = await client.mutate<Record<string, Payload<Fields>>>(
    `mutation (${declared}) { ${name}(${passed}) { ${selection} userErrors { field message code } } }`,
    variables,
  );
  const payload = data[name];
  if (payload === undefined) throw new Error(`the answer has no ${name}`);
  return payload;
}

/** As `mutate`, and throws when the input is refused. */
export async function mutated<Fields = object>(...parameters: Parameters<typeof mutate>): Promise<Fields> {
  const payload = await mutate<Fields>(...parameters);
  if (payload.userErrors.length > 0) throw new Error(`${parameters[1]} was refused: ${JSON.stringify(payload.userErrors)}`);
  return payload;
}
