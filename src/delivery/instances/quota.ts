/** The instances that share the work of a webhook: how many live, and which of them this one is, from 0. */
export interface Fleet {
  readonly instances: number;
  readonly place: number;
}

/**
 * Pure: how many of so many requests at once are this instance's. All instances together have exactly as many; where
 * there are fewer than instances, some have none, for each webhook others.
 */
export function quotaOf(most: number, webhookId: string, { instances, place }: Fleet): number {
  if (instances === 1) return most;
  const turn = (place + offsetOf(webhookId)) % instances;
  return Math.floor(most / instances) + (turn < most % instances ? 1 : 0);
}

function offsetOf(webhookId: string): number {
  let sum = 0;
  for (let index = 0; index < webhookId.length; index++) sum += webhookId.charCodeAt(index);
  return sum;
}
