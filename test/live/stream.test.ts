import { Stream } from '../../src/live/stream';

const never = () => new Promise<never>(() => {});

describe('a stream', () => {
  test('gives what its steps give until one gives nothing, and closes once', async () => {
    const values = [1, 2];
    const close = jest.fn();
    const stream = new Stream(async () => values.shift(), close);
    const seen: number[] = [];
    for await (const value of stream) seen.push(value);
    expect(seen).toEqual([1, 2]);
    expect(await stream.next()).toEqual({ done: true, value: undefined });
    await stream.return();
    expect(close).toHaveBeenCalledTimes(1);
  });

  test('settles a step that waits when its reader leaves', async () => {
    const close = jest.fn();
    const stream = new Stream<number>(never, close);
    const next = stream.next();
    expect(await stream.return()).toEqual({ done: true, value: undefined });
    expect(await next).toEqual({ done: true, value: undefined });
    expect(close).toHaveBeenCalledTimes(1);
  });

  test('drops what a step gives after its reader left', async () => {
    let give = (_value: number) => {};
    const stream = new Stream<number>(
      () => new Promise((resolve) => (give = resolve)),
      () => {},
    );
    const next = stream.next();
    const left = stream.return();
    give(1);
    expect(await Promise.all([next, left])).toEqual([
      { done: true, value: undefined },
      { done: true, value: undefined },
    ]);
  });

  test('ends with the error of a step, and closes', async () => {
    const close = jest.fn();
    const stream = new Stream<number>(async () => Promise.reject(new Error('gone')), close);
    await expect(stream.next()).rejects.toThrow('gone');
    expect(await stream.next()).toEqual({ done: true, value: undefined });
    expect(close).toHaveBeenCalledTimes(1);
  });
});
