import { Field, ID, InterfaceType } from 'type-graphql';

@InterfaceType({ description: 'Anything with a global id; `node(id)` finds it again.' })
export abstract class Node {
  @Field(() => ID)
  abstract readonly id: string;
}
