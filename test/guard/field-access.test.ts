import { isObjectType } from 'graphql';
import { createSchema } from '../../src/api/schema';
import { isDecidedByField, READ_BY } from '../support/read-by';

test('It is decided for every field by what scopes it is read: add new ones to test/support/read-by.ts', async () => {
  const types = Object.values((await createSchema()).getTypeMap()).filter(isObjectType);
  const fields = types
    .filter(({ name }) => isDecidedByField(name))
    .flatMap((type) => Object.keys(type.getFields()).map((name) => `${type.name}.${name}`));
  const decided = Object.values(READ_BY).flatMap((names) => names.split(' '));
  expect([...decided].sort()).toEqual(fields.sort());
});
