import fc from 'fast-check';
import { quotaOf } from '../../src/delivery/instances/quota';

const places = (instances: number) => Array.from({ length: instances }, (_, place) => place);
const sharesOf = (most: number, webhookId: string, instances: number) =>
  places(instances).map((place) => quotaOf(most, webhookId, { instances, place }));

describe('The share of an instance', () => {
  test('adds up to what the webhook allows, and differs by one at most', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 100 }), fc.string(), fc.integer({ min: 1, max: 20 }), (most, webhookId, instances) => {
        const shares = sharesOf(most, webhookId, instances);
        expect(shares.reduce((sum, share) => sum + share, 0)).toBe(most);
        expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(1);
      }),
    );
  });

  test('gives webhooks that allow one request to different instances', () => {
    const owners = ['whk_a', 'whk_b', 'whk_c'].map((id) => sharesOf(1, id, 3).indexOf(1));
    expect([...owners].sort()).toEqual([0, 1, 2]);
  });
});
