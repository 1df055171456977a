import { Event } from '../../src/events/event';

const eventWith = (payloadText: string) => Object.assign(new Event(), { payloadText });

describe('The value of a payload', () => {
  test('is parsed once while it is looked at', () => {
    const event = eventWith('{"a":[1]}');
    expect(event.payload).toEqual({ a: [1] });
    expect(event.payload).toBe(event.payload);
  });

  test('is gone when the event is redacted', () => {
    const event = eventWith('{"a":[1]}');
    expect(event.payload).toEqual({ a: [1] });
    event.redact(new Date(0));
    expect(event.payload).toEqual({});
  });

  test('is kept for the events that were looked at last, whatever it takes as a value', () => {
    const [first, second] = [eventWith('[1]'), eventWith('[2]')];
    const [firstValue, secondValue] = [first.payload, second.payload];
    const text = JSON.stringify('x'.repeat(1024 * 1024));
    for (let count = 0; count < 3; count++) expect(eventWith(text).payload).toHaveLength(1024 * 1024);
    expect(second.payload).toBe(secondValue);
    for (let count = 0; count < 4; count++) expect(eventWith(text).payload).toHaveLength(1024 * 1024);
    expect(first.payload).not.toBe(firstValue);
    expect(first.payload).toEqual(firstValue);
  });
});
