import { Field, ObjectType, registerEnumType } from 'type-graphql';
import { InputRefused, type Problem, UserErrorCode } from '../errors';

registerEnumType(UserErrorCode, {
  name: 'UserErrorCode',
  description: 'What kind of mistake an input has.',
  valuesConfig: {
    REQUIRED: { description: 'Something is missing.' },
    INVALID: { description: 'The value is not of the expected form.' },
    TOO_LARGE: { description: 'The value is over a limit.' },
    NOT_FOUND: { description: 'What is named does not exist, or not for this key.' },
    TAKEN: { description: 'Another one has this unique value.' },
    CONFLICT: { description: 'The thing is no longer as the caller has seen it, or not in a state for this.' },
    LIMIT_REACHED: { description: 'There are as many as there may be.' },
    UNAVAILABLE: { description: 'The hub could not store this part of the input, others it could: try again with it.' },
  },
});

@ObjectType({ description: 'What is wrong with one part of the input. Nothing was stored.' })
export class UserError implements Problem {
  @Field(() => [String], { description: 'The path into the input, e.g. ["headers", "0", "name"].' })
  field!: string[];

  @Field(() => String, { description: 'What was expected and what came.' })
  message!: string;

  @Field(() => UserErrorCode, { description: 'For programs to go by.' })
  code!: UserErrorCode;
}

export type Answer<Payload> = Partial<Payload> & { userErrors: UserError[] };

/** A mutation's payload: what `work` returns, or what was wrong with the input. */
export async function answer<Payload extends object>(work: () => Promise<Payload>): Promise<Answer<Payload>> {
  try {
    return { ...(await work()), userErrors: [] };
  } catch (error) {
    if (error instanceof InputRefused) return { userErrors: userErrors(error) } as unknown as Answer<Payload>;
    throw error;
  }
}

export function userErrors({ problems }: InputRefused): UserError[] {
  return problems.map(({ field, message, code }) => ({ field: [...field], message, code }));
}

/** The field that every mutation's payload has. */
export const UserErrors = () => Field(() => [UserError], { description: 'What is wrong with the input; empty when it was done.' });
