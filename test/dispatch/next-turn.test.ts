import type { Lane } from '../../src/dispatch/lane';
import { NextTurn } from '../../src/dispatch/next-turn';

const laneOf = (applicationId: string, id: string) => ({ webhook: { applicationId, id } }) as Lane;
const drain = (turn: NextTurn) => {
  const ids: string[] = [];
  for (let lane = turn.take(); lane; lane = turn.take()) ids.push(lane.webhook.id);
  return ids;
};

test('an application with one lane does not wait for all of one with many', () => {
  const turn = new NextTurn();
  for (const id of ['a1', 'a2', 'a3']) turn.add(laneOf('a', id));
  turn.add(laneOf('b', 'b1'));
  expect(turn.isEmpty).toBe(false);
  expect(drain(turn)).toEqual(['a1', 'b1', 'a2', 'a3']);
  expect(turn.isEmpty).toBe(true);
});

test('a lane waits once, and comes again when it is added again', () => {
  const turn = new NextTurn();
  const lane = laneOf('a', 'a1');
  turn.add(lane);
  turn.add(lane);
  expect(turn.take()).toBe(lane);
  expect(turn.take()).toBeUndefined();
  turn.add(lane);
  expect(turn.take()).toBe(lane);
});
