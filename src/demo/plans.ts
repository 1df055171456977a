import type { Plan } from './balance';

const EVERYTHING = 'github.*';

/** The greeting goes to the first one only, so that the second meets its refusals with real payloads. */
export const PLANS: readonly Plan[] = [
  {
    name: 'archive',
    eventTypes: ['*'],
    what: 'wants everything',
    refusals: 0,
    wants: () => true,
  },
  {
    name: 'flaky',
    eventTypes: [EVERYTHING],
    what: `wants ${EVERYTHING}; answers 503 to its first two requests, then recovers`,
    refusals: 2,
    wants: (type) => type.startsWith('github.'),
  },
  {
    name: 'pushes',
    eventTypes: ['github.push'],
    what: 'wants github.push and nothing else',
    refusals: 0,
    wants: (type) => type === 'github.push',
  },
];
