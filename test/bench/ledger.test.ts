import { type Came, Ledger, problemsOf } from './ledger';

function came(ids: Record<string, readonly string[]>, more: Partial<Came> = {}): Came {
  return { ids: new Map(Object.entries(ids).map(([path, own]) => [path, new Set(own)])), repeated: 0, nameless: 0, ...more };
}

function ledgerOf(expected: Record<string, readonly string[]>): Ledger {
  const ledger = new Ledger();
  for (const [path, ids] of Object.entries(expected)) ledger.expect(path, ids);
  return ledger;
}

describe('A ledger', () => {
  test('is balanced when every event came once to every webhook', () => {
    const ledger = ledgerOf({ '/a': ['e1', 'e2'], '/b': ['e1', 'e2'] });
    const balance = ledger.compare(came({ '/a': ['e2', 'e1'], '/b': ['e1', 'e2'] }));
    expect(balance).toEqual({ expected: 4, lost: 0, repeated: 0, unknown: 0 });
    expect(problemsOf(balance)).toEqual([]);
  });

  test('adds up what is expected at a webhook in several steps', () => {
    const ledger = ledgerOf({ '/a': ['e1'] });
    ledger.expect('/a', ['e2']);
    expect(ledger.expected).toBe(2);
    expect(problemsOf(ledger.compare(came({ '/a': ['e1', 'e2'] })))).toEqual([]);
  });

  test('misses an event that one of the webhooks did not get', () => {
    const ledger = ledgerOf({ '/a': ['e1'], '/b': ['e1'], '/c': ['e1'] });
    expect(problemsOf(ledger.compare(came({ '/a': ['e1'], '/b': [] })))).toEqual(['2 of 3 lost']);
  });

  test('does not take an event at the wrong webhook for the one that is missing at the right one', () => {
    const ledger = ledgerOf({ '/a': ['e1'], '/b': ['e2'] });
    expect(problemsOf(ledger.compare(came({ '/a': ['e2'], '/b': ['e2'] })))).toEqual(['1 of 2 lost', '1 that nobody published']);
  });

  test('is void for what came twice', () => {
    expect(problemsOf(ledgerOf({ '/a': ['e1'] }).compare(came({ '/a': ['e1'] }, { repeated: 3 })))).toEqual(['3 repeated']);
  });

  test('is void for what nobody published: an id, a path, a request without an id', () => {
    const ledger = ledgerOf({ '/a': ['e1'] });
    expect(problemsOf(ledger.compare(came({ '/a': ['e1', 'e9'], '/z': ['e1'] }, { nameless: 1 })))).toEqual(['3 that nobody published']);
  });

  test('is void when nothing was published at all', () => {
    expect(problemsOf(new Ledger().compare(came({})))).toEqual(['nothing was published']);
  });
});
