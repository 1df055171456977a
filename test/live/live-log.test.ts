import { systemClock } from '../../src/clock';
import { LiveLog, type Sequenced } from '../../src/live/live-log';

const APPLICATION = 'app_1';

interface Entry extends Sequenced {
  readonly bytes: number;
}

/** A log in memory in place of the database, and how often it was read. */
class Source {
  readonly entries: Entry[] = [];
  reads = 0;
  #bytes: number;

  constructor(bytes = 100) {
    this.#bytes = bytes;
  }

  commit(count: number): Entry[] {
    const first = this.entries.length + 1;
    const added = Array.from({ length: count }, (_, index) => ({ sequence: first + index, bytes: this.#bytes }));
    this.entries.push(...added);
    return added;
  }

  async after(_applicationId: string, sequence: number, most: number): Promise<Entry[]> {
    this.reads++;
    return this.entries.filter((entry) => entry?.sequence > sequence).slice(0, most);
  }

  async head(applicationId: string): Promise<number | undefined> {
    return applicationId === APPLICATION ? this.entries.length : undefined;
  }
}

function logOver(source: Source): LiveLog<Entry> {
  return new LiveLog<Entry>(systemClock, source, ({ bytes }) => bytes);
}

const sequencesOf = (entries: readonly Entry[]) => entries.map(({ sequence }) => sequence);

describe('a follower of a log', () => {
  test('takes what is committed behind its cursor, then waits for what is announced', async () => {
    const source = new Source();
    const log = logOver(source);
    source.commit(3);
    const follower = await log.follow(APPLICATION, 1);
    expect(sequencesOf(await follower.take(10))).toEqual([2, 3]);
    const { reads } = source;
    const next = follower.take(10);
    log.announce(APPLICATION, source.commit(2));
    expect(sequencesOf(await next)).toEqual([4, 5]);
    expect(source.reads).toBe(reads); // the live end comes from memory
  });

  test('is woken by the arrival of another one that sees more committed than was announced', async () => {
    const source = new Source();
    const log = logOver(source);
    const waiting = await log.follow(APPLICATION, 0);
    const next = waiting.take(10);
    const committed = source.commit(1);
    await log.follow(APPLICATION, undefined);
    log.announce(APPLICATION, committed); // which no longer tells anything new
    expect(sequencesOf(await next)).toEqual([1]);
  });

  test('reads what another instance committed when a bell rings for it', async () => {
    const source = new Source();
    const log = logOver(source);
    const follower = await log.follow(APPLICATION, undefined);
    source.commit(2);
    log.ring(APPLICATION, 2);
    expect(sequencesOf(await follower.take(10))).toEqual([1, 2]);
    source.commit(1);
    log.announce(APPLICATION, source.commit(1)); // the one between is another instance's
    expect(sequencesOf(await follower.take(10))).toEqual([3, 4]);
  });

  test('meets announcements in the wrong order without a gap or a repeat', async () => {
    const source = new Source();
    const log = logOver(source);
    const follower = await log.follow(APPLICATION, undefined);
    const [first, second] = [source.commit(2), source.commit(3)];
    log.announce(APPLICATION, second);
    log.announce(APPLICATION, first);
    expect(sequencesOf(await follower.take(10))).toEqual([1, 2, 3, 4, 5]);
  });

  test('far behind takes no more at once than its share of memory', async () => {
    const source = new Source(100_000);
    const log = logOver(source);
    source.commit(50);
    const follower = await log.follow(APPLICATION, 0);
    const taken: number[] = [];
    while (taken.length < 50) {
      const entries = await follower.take(200);
      expect(entries.length).toBeLessThanOrEqual(2);
      taken.push(...sequencesOf(entries));
    }
    expect(taken).toEqual(sequencesOf(source.entries));
  });

  test('takes an entry that is larger than its share by itself', async () => {
    const source = new Source(10_000_000);
    const log = logOver(source);
    source.commit(2);
    const follower = await log.follow(APPLICATION, 0);
    expect(sequencesOf(await follower.take(200))).toEqual([1]);
    expect(sequencesOf(await follower.take(200))).toEqual([2]);
  });

  test('hears that its cursor has expired when what follows is gone, all of it included', async () => {
    const source = new Source();
    const log = logOver(source);
    source.commit(5);
    const some = await log.follow(APPLICATION, 0);
    const all = await log.follow(APPLICATION, 4);
    delete source.entries[0];
    await expect(some.take(10)).rejects.toMatchObject({ code: 'CURSOR_EXPIRED' });
    delete source.entries[4];
    await expect(all.take(10)).rejects.toMatchObject({ code: 'CURSOR_EXPIRED' });
  });

  test.each([
    ['an unknown application', 'app_2', 0],
    ['a sequence past the end', APPLICATION, 4],
  ])('is refused for %s', async (_what, applicationId, sequence) => {
    const source = new Source();
    source.commit(3);
    const log = logOver(source);
    await expect(log.follow(applicationId, sequence)).rejects.toMatchObject({ code: 'BAD_USER_INPUT' });
    expect(log.watched).toEqual([]);
  });

  test('ends its wait when it is closed, and leaves nothing behind', async () => {
    const source = new Source();
    const log = logOver(source);
    const [one, other] = [await log.follow(APPLICATION, undefined), await log.follow(APPLICATION, undefined)];
    const next = one.take(10);
    one.close();
    expect(await next).toEqual([]);
    expect([log.followers, log.watched]).toEqual([1, [APPLICATION]]);
    log.announce(APPLICATION, source.commit(1));
    expect(log.kept).toBe(1);
    other.close();
    expect([log.followers, log.watched, log.kept]).toEqual([0, [], 0]);
  });

  test('finds the newest entries in memory, however many came', async () => {
    const source = new Source();
    const log = logOver(source);
    const follower = await log.follow(APPLICATION, undefined);
    for (let batch = 0; batch < 20; batch++) log.announce(APPLICATION, source.commit(500));
    expect(log.kept).toBeLessThanOrEqual(2_000);
    expect(log.kept).toBeGreaterThanOrEqual(1_000);
    const taken: number[] = [];
    while (taken.length < 10_000) taken.push(...sequencesOf(await follower.take(200)));
    expect(taken).toEqual(sequencesOf(source.entries));
  });
});
