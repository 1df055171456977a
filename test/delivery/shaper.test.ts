import { payloadQueryCompiler } from '../../src/api/payload-queries';
import { createSchema } from '../../src/api/schema';
import { bodyKey, derivedBody, MAX_BODY_BYTES } from '../../src/delivery/request/body';
import { MAX_SHAPED_BYTES, Shaper } from '../../src/delivery/request/shaper';
import { Event } from '../../src/events/event';
import { MAX_PAYLOAD_BYTES } from '../../src/events/publish';
import type { PayloadQuery } from '../../src/webhooks/payload-query';
import { until } from '../support/until';

function eventWith(payloadText = '{}', applicationId = 'app_000000000001', sequence = 7): Event {
  return Object.assign(new Event(), {
    applicationId,
    sequence,
    id: `evt_${applicationId.slice(4)}000000000${sequence}0000`,
    type: 'order.created',
    payloadText,
    occurredAt: new Date(Date.UTC(2026, 0, 31, 12)),
  });
}

function queryThat(run: PayloadQuery['run'], key = 'a-document') {
  let runs = 0;
  const query: PayloadQuery & { readonly runs: () => number } = {
    key,
    types: null,
    condition: null,
    filter: null,
    problem: null,
    problems: [],
    runs: () => runs,
    run: (event, most) => {
      runs++;
      return run(event, most);
    },
  };
  return query;
}

const largeBody = JSON.stringify('x'.repeat(1024 * 1024));

async function held(shaper: Shaper, event: Event, query: PayloadQuery) {
  const made = await shaper.bodyFor(event, null, query);
  if ('problem' in made) throw new Error(made.problem);
  return made;
}

describe('A body of a payload query', () => {
  test('is made once an event and document, however many webhooks ask at once', async () => {
    const event = eventWith();
    const query = queryThat(async () => '{"event":{"id":"x"}}');
    const shaper = new Shaper();
    const bodies = await Promise.all(Array.from({ length: 5 }, () => held(shaper, event, query)));
    expect(query.runs()).toBe(1);
    for (const { body } of bodies) expect(body.bytes.toString()).toContain('"data":{"event":{"id":"x"}}}');
  });

  test('is there for the next webhook with the same document after the last one has let go of it', async () => {
    const event = eventWith();
    const query = queryThat(async () => '{}');
    const shaper = new Shaper();
    for (let times = 0; times < 3; times++) (await held(shaper, event, query)).release();
    expect(query.runs()).toBe(1);
    shaper.forget(event);
    (await held(shaper, event, query)).release();
    expect(query.runs()).toBe(2);
  });

  test('that was fixed before is sent again, whatever the webhook asks for now', async () => {
    const fixed = { key: '', bytes: Buffer.from('{"as":"it was"}') };
    const query = queryThat(async () => '{}');
    expect(await new Shaper().bodyFor(eventWith(), fixed, query)).toMatchObject({ body: fixed, ownBytes: 0 });
    expect(query.runs()).toBe(0);
  });

  test('is a problem in a sentence when the query fails, and is tried again the next time', async () => {
    const event = eventWith();
    const query = queryThat(async () => {
      throw new Error('event.get: out of order');
    });
    const shaper = new Shaper();
    for (let attempt = 1; attempt <= 2; attempt++) {
      expect(await shaper.bodyFor(event, null, query)).toMatchObject({ problem: expect.stringContaining('event.get: out of order') });
      expect(query.runs()).toBe(attempt);
    }
    expect(shaper.bytes).toBe(0);
  });

  test('keeps those that nobody uses within a bound, their events included', async () => {
    const shaper = new Shaper();
    const query = queryThat(async () => '{}');
    for (let sequence = 0; sequence < 100; sequence++)
      (await held(shaper, eventWith(`"${'x'.repeat(1024 * 1024)}"`, 'app_000000000001', sequence), query)).release();
    expect(shaper.bytes).toBeLessThanOrEqual(8 * 1024 * 1024);
  });

  test('waits while its application has its share in memory; another application does not', async () => {
    const shaper = new Shaper();
    const query = queryThat(async () => largeBody);
    const releases: (() => void)[] = [];
    const documents = Array.from({ length: 100 }, (_, index) => queryThat(query.run, `document-${index}`));
    const event = eventWith();
    const all = documents.map((document) => held(shaper, event, document).then(({ release }) => releases.push(release)));
    await until(() => shaper.bytes > MAX_SHAPED_BYTES / 2 - 2 * MAX_BODY_BYTES, { description: 'half of all there is to be used' });
    const other = await held(shaper, eventWith('{}', 'app_000000000002'), query);
    expect(shaper.bytes).toBeLessThanOrEqual(MAX_SHAPED_BYTES / 2 + MAX_BODY_BYTES);
    other.release();
    const letting = until(
      () => releases.splice(0).map((release) => release()).length === 0 && documents.every(({ runs }) => runs() === 1),
      {
        description: 'the others to be made as bodies are let go',
      },
    );
    await Promise.all(all);
    await letting;
  });

  test('lets others have the event loop, however many documents one event is shaped by', async () => {
    const shaper = new Shaper();
    const event = eventWith(largeBody);
    let turns = 0;
    let isOver = false;
    const turn = () => {
      turns++;
      if (!isOver) setImmediate(turn);
    };
    setImmediate(turn);
    const documents = Array.from({ length: 20 }, (_, index) => queryThat(async () => '{}', `document-${index}`));
    await Promise.all(documents.map((document) => held(shaper, event, document)));
    isOver = true;
    expect(turns).toBeGreaterThanOrEqual(19);
  });
});

describe('The size of a body', () => {
  let compile: (document: string) => PayloadQuery;
  beforeAll(async () => {
    compile = payloadQueryCompiler(await createSchema());
  });
  const largest = JSON.stringify('x'.repeat(MAX_PAYLOAD_BYTES - 2));

  test('leaves room for every payload that can be published, in each format', () => {
    const event = Object.assign(eventWith(largest), { type: 'a'.repeat(255) });
    for (const format of ['STANDARD', 'CLOUDEVENTS_STRUCTURED', 'CLOUDEVENTS_BINARY'] as const)
      expect(derivedBody(event, bodyKey(format, null)).length).toBeLessThanOrEqual(MAX_BODY_BYTES);
  });

  test('leaves room for a document that selects a whole payload beside other fields', async () => {
    const { body } = await held(new Shaper(), eventWith(largest), compile('subscription { event { id type sequence payload } }'));
    expect(body.bytes.length).toBeGreaterThan(MAX_PAYLOAD_BYTES);
  });

  test('is bounded: a document that repeats the payload is a problem, found before it is written out', async () => {
    const aliases = Array.from({ length: 50 }, (_, index) => `a${index}: payload`).join(' ');
    const shaper = new Shaper();
    expect(await shaper.bodyFor(eventWith(largest), null, compile(`subscription { event { ${aliases} } }`))).toMatchObject({
      problem: `the payload query failed: it selects more than the ${MAX_BODY_BYTES} bytes that a body may have; select less of the payload, or select it only once`,
    });
    expect(shaper.bytes).toBe(0);
  });

  test('is judged in bytes, not characters', async () => {
    const aliases = Array.from({ length: 3 }, (_, index) => `a${index}: payload`).join(' ');
    const payload = JSON.stringify('€'.repeat(200_000));
    expect(await new Shaper().bodyFor(eventWith(payload), null, compile(`subscription { event { ${aliases} } }`))).toHaveProperty(
      'problem',
    );
  });

  test('is the same text as the whole result would be, for all that a payload can hold', async () => {
    const payload = '{"b":[1,{"c":null}],"10":"\\"","a":{"€":1.5}}';
    const { body } = await held(
      new Shaper(),
      eventWith(payload),
      compile('subscription { event { id p: payload q: payload b: get(path: "b") none: get(path: "x") occurredAt redactedAt: type } }'),
    );
    expect(JSON.parse(body.bytes.toString()).data).toEqual({
      event: {
        id: 'evt_00000000000100000000070000',
        p: JSON.parse(payload),
        q: JSON.parse(payload),
        b: [1, { c: null }],
        none: null,
        occurredAt: '2026-01-31T12:00:00.000Z',
        redactedAt: 'order.created',
      },
    });
  });
});
