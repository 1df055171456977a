import { type Connection, dataOf } from './connection';
import { asLivehookError, LivehookError } from './errors';

/** Keeps how far one has come, so that another process goes on from there. */
export interface CursorStore {
  load(): string | null | undefined | Promise<string | null | undefined>;
  /** Called when what stood before it was handled: when the loop asks for the next. */
  save(cursor: string): void | Promise<void>;
}

export interface FollowOptions {
  /** Begins after it. Default: what `cursors` has, else from now on. */
  readonly after?: string;
  readonly cursors?: CursorStore;
  readonly signal?: AbortSignal;
}

/** A subscription that can go on. */
export interface Feed<Item> {
  readonly query: string;
  readonly variables: Readonly<Record<string, unknown>>;
  /** The field of the result. */
  readonly field: string;
  readonly toItem: (value: unknown) => Item;
  readonly cursorOf: (item: Item) => string;
  /** Where the log ends now. */
  readonly end: () => Promise<string>;
}

/**
 * What a feed brings, each once and in order, over any number of connections and restarts of the hub. Ends with `signal`
 * or the client.
 * @throws LivehookError for what trying again does not cure, such as CURSOR_EXPIRED
 */
export async function* follow<Item>(connection: Connection, feed: Feed<Item>, options: FollowOptions): AsyncGenerator<Item, void> {
  const { cursors, signal } = options;
  const left = AbortSignal.any([connection.closed, ...(signal ? [signal] : [])]);
  // From now on is from a place: what comes while the first connection fails is not missed.
  let after = options.after ?? (await cursors?.load()) ?? (await feed.end());
  let failures = 0;
  while (!left.aborted) {
    const results = connection.stream(feed.query, { ...feed.variables, after }, left);
    try {
      let next = await results.next();
      for (; !next.done; next = await results.next()) {
        const item = feed.toItem(dataOf(next.value)[feed.field]);
        failures = 0;
        yield item;
        after = feed.cursorOf(item);
        await cursors?.save(after);
      }
      if (next.value === 'complete') return;
      await connection.wait(++failures, new LivehookError('UNAVAILABLE', 'The stream has broken.'));
    } catch (thrown) {
      if (left.aborted) return;
      const error = asLivehookError(thrown);
      if (!error.isTemporary) throw error;
      await connection.wait(++failures, error);
    } finally {
      await results.return('broken');
    }
  }
}
