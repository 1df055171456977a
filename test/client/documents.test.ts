import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildSchema, parse, validate } from 'graphql';
import { DELIVERY_UPDATES, EVENT_CURSOR, EVENTS, UPDATE_CURSOR } from '../../src/client/client';
import { PUBLISH_EVENTS } from '../../src/client/publisher';

const schema = buildSchema(readFileSync(join(__dirname, '..', '..', 'schema', 'schema.graphql'), 'utf8'));

test.each([PUBLISH_EVENTS, EVENTS, DELIVERY_UPDATES, EVENT_CURSOR, UPDATE_CURSOR])(
  'The schema has what the client asks for: %s',
  (document) => {
    expect(validate(schema, parse(document))).toEqual([]);
  },
);
