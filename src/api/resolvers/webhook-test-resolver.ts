import { GraphQLJSON } from 'graphql-scalars';
import { Arg, Ctx, Field, FieldResolver, ID, InputType, Mutation, ObjectType, Resolver, Root } from 'type-graphql';
import { Scope } from '../../applications/api-key';
import { Attempt } from '../../attempts/attempt';
import { decodeKeyCursor, encodeKeyCursor } from '../../cursor';
import { deliveryId, deliveryIdOf, isId } from '../../ids';
import { Webhook } from '../../webhooks/webhook';
import { refuseUnknownWebhook } from '../../webhooks/webhooks';
import { After, type Connection, connection, First, pageRequest } from '../connection';
import { type Context, maySee, readAttemptPage } from '../context';
import { type Answer, answer, type UserError, UserErrors } from '../user-error';
import { AttemptConnection } from './delivery-resolver';

@InputType({ description: 'An event that is only sent to one webhook.' })
export class WebhookTestInput {
  @Field(() => String, { description: 'A dotted name; the webhook need not want it.' })
  eventType!: string;

  @Field(() => GraphQLJSON, {
    description: 'At most 1 MiB, and of the schema of its type where one is registered. Any JSON, null included.',
  })
  payload!: unknown;
}

@ObjectType({ description: 'What came of a test.' })
export class WebhookTestPayload {
  @Field(() => Attempt, { nullable: true, description: 'How it ended; null where the input was refused.' })
  attempt?: Attempt | null;

  @UserErrors()
  userErrors!: UserError[];
}

@Resolver(() => Webhook)
export class WebhookTestResolver {
  @FieldResolver(() => AttemptConnection, {
    description: 'What webhookTest has sent, newest first, as long as attempts are kept; needs the scope DELIVERIES_READ.',
  })
  async tests(
    @Ctx() context: Context,
    @Root() webhook: Webhook,
    @First() first: number,
    @After() after?: string | null,
  ): Promise<Connection<Attempt>> {
    const tests = deliveryId(0, webhook.id);
    const request = pageRequest({ first, after }, (cursor) =>
      decodeKeyCursor(cursor, (key) => isId('att', key) && deliveryIdOf(key) === tests),
    );
    const page = await readAttemptPage(context, request, (part, columns) => context.services.attempts.listLatest(tests, part, columns));
    return connection(page, (row) => encodeKeyCursor(row.id), request);
  }

  @Mutation(() => WebhookTestPayload, {
    description:
      'Sends an event that is in no log, now, and waits for the answer: the same format, payload query, headers and signature as a real delivery, to a paused or disabled webhook, too. It has a fresh `webhook-id` and the sequence 0, which no real event has; it is never retried, and nothing follows from its outcome. Recorded as an attempt with the trigger TEST, under Webhook.tests. At most 3 at once a webhook.',
  })
  async webhookTest(
    @Ctx() context: Context,
    @Arg('id', () => ID, { description: 'The id of the webhook.' }) id: string,
    @Arg('input', () => WebhookTestInput, { description: 'What to send.' }) input: WebhookTestInput,
  ): Promise<Answer<WebhookTestPayload>> {
    return answer(async () => {
      if (!(await maySee(context, Scope.WEBHOOKS_WRITE, id)) || !isId('whk', id)) return refuseUnknownWebhook(id);
      return { attempt: await context.services.tester.test(id, input) };
    });
  }
}
