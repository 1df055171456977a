import { type Slot, Slots } from '../../src/probes/slots';

const taken = (slots: Slots, holder: string, applicationId: string) => slots.take(holder, applicationId, 30_000);
const isSlot = (slot: Slot | string): slot is Slot => typeof slot !== 'string';

describe('Slots for requests that somebody waits for', () => {
  test('are at most so many of one holder', () => {
    const slots = new Slots({ mostOfOne: 3, most: 64 });
    const first = [1, 2, 3].map(() => taken(slots, 'webhook', 'shop'));
    expect(first.every(isSlot)).toBe(true);
    expect(taken(slots, 'webhook', 'shop')).toBe('holder');
    for (const slot of first.filter(isSlot)) slot.release();
    expect(isSlot(taken(slots, 'webhook', 'shop'))).toBe(true);
  });

  test('are never all of one application, however many holders it has', () => {
    const slots = new Slots({ mostOfOne: 3, most: 64 });
    const all = Array.from({ length: 66 }, (_, index) => taken(slots, `webhook ${index % 22}`, 'hostile'));
    expect(all.filter(isSlot)).toHaveLength(32);
    expect(all.at(-1)).toBe('application');
    for (const other of ['a', 'b', 'c']) expect(isSlot(taken(slots, other, other))).toBe(true);
  });

  test('are given for a short time when few are left', () => {
    const slots = new Slots({ mostOfOne: 3, most: 64 });
    const times = Array.from({ length: 64 }, (_, index) => taken(slots, `webhook ${index}`, `app ${index}`)).filter(isSlot);
    expect(times.map(({ timeoutMs }) => timeoutMs)).toEqual([...Array(48).fill(30_000), ...Array(16).fill(5_000)]);
    expect(slots.take('x', 'newcomer', 30_000)).toBe('application');
  });
});
