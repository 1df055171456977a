import { type Client, GraphqlFailure, type Result, type Subscription, type Variables } from './graphql-client';

export const TRANSPORTS = ['HTTP', 'SSE', 'WebSocket'] as const;
export type Transport = (typeof TRANSPORTS)[number];

/** The first answer to one operation over one of the transports, errors and all. */
export async function askOver(transport: Transport, client: Client, query: string, variables: Variables = {}): Promise<Result<unknown>> {
  switch (transport) {
    case 'HTTP': {
      const { data, errors } = await client.request<unknown>(query, variables);
      return { ...(data !== undefined && { data }), ...(errors && { errors }) };
    }
    case 'SSE':
      return firstOf(client.subscribeSse<unknown>(query, variables));
    case 'WebSocket':
      return firstOf(client.subscribe<unknown>(query, variables));
  }
}

async function firstOf(subscription: Subscription<unknown>): Promise<Result<unknown>> {
  try {
    const { done, value } = await subscription.next();
    if (done) throw new Error('expected a result, but the operation ended without one');
    return value;
  } catch (error) {
    if (!(error instanceof GraphqlFailure)) throw error;
    const refusal = (error.cause as { response?: Response } | undefined)?.response; // before there was a stream
    if (refusal) return (await refusal.json()) as Result<unknown>;
    if (error.errors.length > 0) return { errors: error.errors };
    throw error;
  } finally {
    await subscription.return();
  }
}

export function codesOf({ errors = [] }: Result<unknown>): unknown[] {
  return errors.map(({ extensions }) => extensions?.code);
}
