import { parse } from 'graphql';
import { Budget, type Reason } from '../../src/api/budget';
import { LIMITS } from '../../src/api/limits';
import { Turns } from '../../src/api/turns';
import { Unsent } from '../../src/api/unsent';
import type { Caller } from '../../src/applications/api-keys';

const MIB = 1024 * 1024;

function setUp({ isMutation = false, maxBytes = 128 * MIB } = {}) {
  const reasons: Reason[] = [];
  const unsent = new Unsent(maxBytes);
  const budget = new Budget({
    document: parse('{ events { nodes { id ... on Event { payload } } } }'),
    isMutation,
    unsent: unsent.open({}, of('one')),
    exceeded: (reason) => reasons.push(reason),
  });
  return { budget, unsent, reasons };
}

const of = (applicationId: string) => ({ applicationId }) as Caller;

describe('The budget of an operation', () => {
  test('ends a query once, at the first limit it passes, and lets go of what it held', () => {
    const { budget, unsent, reasons } = setUp();
    const ends: string[] = [];
    budget.whenExceeded(({ code, message }) => ends.push(`${code} ${message}`));
    expect(budget.bytes(LIMITS.answerBytes)).toBe(true);
    expect(unsent.bytes).toBe(LIMITS.answerBytes);
    expect(budget.bytes(1)).toBe(false);
    expect(budget.rows(LIMITS.answerRows + 1)).toBe(false);
    expect(budget.field('name', false)).toBe(false);
    expect(ends).toEqual([expect.stringMatching(/^BAD_USER_INPUT The answer has more than 8388608 bytes: ask for /)]);
    expect(reasons).toEqual(['bytes']);
    expect(unsent.bytes).toBe(0);
  });

  test.each<[Reason, (budget: Budget) => boolean]>([
    ['fields', (budget) => Array.from({ length: LIMITS.answerFields + 1 }, () => budget.field('f', false)).every(Boolean)],
    ['rows', (budget) => budget.rows(LIMITS.answerRows + 1)],
    ['bytes', (budget) => budget.field('x'.repeat(LIMITS.answerBytes), false)],
    ['read', (budget) => budget.read(LIMITS.answerReadBytes + 1)],
  ])('counts %s', (reason, spend) => {
    const { budget, reasons } = setUp();
    expect(spend(budget)).toBe(false);
    expect(reasons).toEqual([reason]);
  });

  test('leaves a mutation its small fields, up to twice the limit', () => {
    const { budget } = setUp({ isMutation: true });
    expect(budget.bytes(LIMITS.answerBytes + 1, true)).toBe(false);
    expect(budget.field('deduplicated', false)).toBe(true);
    expect(budget.bytes(100, false)).toBe(true);
    expect(budget.bytes(LIMITS.answerBytes, false)).toBe(false);
    expect(budget.refusal()?.message).toMatch(/What the mutation did before stands/);
  });

  test('begins no read after it is passed, and few at a time before', async () => {
    const { budget } = setUp();
    const begun: (() => void)[] = [];
    const reads = Array.from({ length: 10 }, () => budget.reading(() => new Promise<void>((resolve) => begun.push(resolve))));
    const ends = Promise.allSettled(reads);
    expect(begun).toHaveLength(4);
    budget.bytes(LIMITS.answerBytes + 1);
    for (const end of begun) end();
    expect((await ends).filter(({ status }) => status === 'rejected')).toHaveLength(6);
    expect(begun).toHaveLength(4);
  });

  test('reads no more than four at a time, also when a further one is asked for as another ends', async () => {
    const { budget } = setUp();
    const ends: (() => void)[] = [];
    const one = () => budget.reading(() => new Promise<void>((resolve) => ends.push(resolve)));
    const reads = [one(), one(), one(), one(), one()];
    let open = () => {};
    const late = new Promise<void>((resolve) => {
      open = resolve;
    }).then(one);
    ends[0]?.();
    open();
    await new Promise((resolve) => setImmediate(resolve));
    expect(ends.length - 1).toBe(4);
    for (let ended = 1; ended < 6; ended++) {
      ends[ended]?.();
      await new Promise((resolve) => setImmediate(resolve));
    }
    await Promise.all([...reads, late]);
  });

  test('knows the fields of its document, also within fragments', () => {
    const { budget } = setUp();
    expect(['payload', 'id', 'responseBody'].map((name) => budget.asksFor(name))).toEqual([true, true, false]);
  });

  test('goes through a long list in slices, in order, and lets others have their turns between', async () => {
    const { budget } = setUp();
    const spend = () => {
      for (let field = 0; field < 1_000; field++) budget.field('f', false);
    };
    for (let times = 0; times < 5; times++) spend();
    const passed: number[] = [];
    const entries = [...budget.sliced(Array.from({ length: 30 }, (_, no) => no))];
    const done = Promise.all(
      entries.map(async (entry) => {
        expect(entry).toBeInstanceOf(Promise);
        passed.push(await entry);
        spend();
      }),
    );
    const atTurn: number[] = [];
    while (passed.length < 30) {
      await new Promise((resolve) => setImmediate(resolve));
      atTurn.push(passed.length);
    }
    await done;
    expect(passed).toEqual(Array.from({ length: 30 }, (_, no) => no));
    expect(Math.max(...atTurn.map((count, turn) => count - (atTurn[turn - 1] ?? 0)))).toBeLessThanOrEqual(6);
  });
});

describe('What is unsent', () => {
  test('is bounded for a connection and divided between applications, with room for a newcomer', () => {
    const unsent = new Unsent(64 * MIB);
    const connection = {};
    unsent.open(connection, of('one')).take(LIMITS.unsentBytesPerConnection, 0);
    expect(() => unsent.open(connection, of('one')).take(1, 0)).toThrow(/this connection/);
    expect(() => unsent.open({}, of('one')).take(15 * MIB, 0)).not.toThrow();
    expect(() => unsent.open({}, of('one')).take(2 * MIB, 0)).toThrow(/try again in 1 s/);
    expect(() => unsent.open({}, of('two')).take(10 * MIB, 0)).not.toThrow();
  });

  test('wakes those who wait for room when some is let go, and one that leaves', async () => {
    const unsent = new Unsent(64 * MIB);
    const held = unsent.open({}, of('one'));
    held.made(40 * MIB);
    const [waiting, leaving] = [{}, {}];
    const woken = unsent.room(waiting, of('one'), MIB);
    const left = unsent.room(leaving, of('one'), MIB);
    unsent.leave(leaving);
    await left;
    held.release();
    await woken;
    expect(unsent.bytes).toBe(0);
    expect(unsent.room(waiting, of('one'), MIB)).toBeUndefined();
  });
});

test('work that takes long is done a little in each turn of the event loop, in the order it came', async () => {
  const turns = new Turns(10);
  expect([turns.take(9), turns.take(9)]).toEqual([undefined, undefined]);
  const done: string[] = [];
  const work = ['a', 'b', 'c'].map(async (name) => {
    await turns.take(10);
    done.push(name);
  });
  expect(done).toEqual([]);
  await new Promise((resolve) => setImmediate(resolve));
  expect(done).toEqual(['a']);
  await Promise.all(work);
  expect(done).toEqual(['a', 'b', 'c']);
});
