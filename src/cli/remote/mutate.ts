import type { UserError } from '../../client';
import type { Connection } from '../../client/connection';
import { userError } from '../../client/errors';

/** Runs a mutation whose field has the alias `done`. @throws LivehookError USER_ERROR for what it was refused for */
export async function mutate<Answer>(hub: Connection, document: string, variables: object): Promise<Answer> {
  const { done } = (await hub.run(document, JSON.stringify(variables))) as { done: Answer & { userErrors: readonly UserError[] } };
  if (done.userErrors.length > 0) throw userError(done.userErrors);
  return done;
}
