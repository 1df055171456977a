import { createContext, Script } from 'node:vm';
import { parse } from 'graphql';
import { staticFile, staticPaths } from '../../src/api/static-files';
import { deliveryListScript } from '../../src/dashboard/delivery-list';
import { DASHBOARD_CSP, dashboardPage } from '../../src/dashboard/page';
import { dashboardScript } from '../../src/dashboard/script';
import { dashboardIcon, dashboardStyle } from '../../src/dashboard/style';

const SVG_NAMESPACE = 'http://www.w3.org/2000/svg';

interface Row {
  readonly id: string;
  readonly status: string;
  readonly attempt: { readonly number: number } | null;
}

interface DeliveryList {
  readonly revision: number;
  readonly rows: readonly Row[];
  apply(update: unknown): void;
  merge(deliveries: readonly unknown[], since: number): void;
  patch(delivery: unknown): void;
}

interface Counters {
  readonly updates: number;
  readonly attemptsSucceeded: number;
  readonly attemptsFailed: number;
  readonly medianMs: number | null;
  readonly deliveries: Record<string, number>;
  record(update: unknown, nowMs: number): void;
  rate(nowMs: number): number;
}

interface Scripts {
  readonly DeliveryList: new (maxRows: number) => DeliveryList;
  readonly Counters: new () => Counters;
}

function runScript(): Scripts {
  const browser: { livehookDeliveries?: Scripts } = {};
  new Script(deliveryListScript).runInContext(createContext(browser));
  if (!browser.livehookDeliveries) throw new Error('expected the script to define livehookDeliveries');
  return browser.livehookDeliveries;
}

function delivery(id: string, overrides: object = {}) {
  return {
    id,
    status: 'PENDING',
    attemptCount: 0,
    createdAt: '2026-01-31T12:00:00.000Z',
    eventType: 'order.created',
    sequence: 1,
    webhookId: 'wh',
    webhook: { url: 'https://partner.example/' },
    ...overrides,
  };
}

function attempt(number: number, overrides: object = {}) {
  return { number, outcome: 'SUCCESS', statusCode: 200, durationMs: 20, ...overrides };
}

function update(id: string, overrides: object = {}) {
  return { delivery: delivery(id), attempt: null, status: 'PENDING', at: '2026-01-31T12:00:00.000Z', ...overrides };
}

const ids = (list: DeliveryList) => list.rows.map((row) => row.id);

describe('the dashboard page', () => {
  const page = dashboardPage();

  test('loads only files that the hub serves itself', () => {
    const references = [...page.matchAll(/<(?:script|link|img)\b[^>]*\b(?:src|href)="([^"]*)"/g)].map((match) => match[1] ?? '');
    expect(references).toContain('assets/dashboard.js');
    for (const reference of references) expect(staticPaths).toContain(`/${reference}`);
  });

  test('links only to places beside it, wherever a proxy serves it', () => {
    const links = [...page.matchAll(/<a\b[^>]*\bhref="([^"]*)"/g)].map((match) => match[1] ?? '');
    for (const link of links) expect(link).toMatch(/^(#|[a-z]+$)/);
  });

  test('names no other host in anything it is made of', () => {
    for (const text of [page, dashboardScript, deliveryListScript, dashboardStyle, dashboardIcon.replace(SVG_NAMESPACE, '')]) {
      expect(text).not.toMatch(/(?:https?:|wss?:)?\/\/[a-z0-9-]+\.[a-z]/i);
      expect(text).not.toMatch(/@import|url\(/);
    }
  });

  test('has no inline script, style or handler, so that its policy needs no exception', () => {
    expect(page).not.toMatch(/<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=/i);
    expect(DASHBOARD_CSP).not.toContain('unsafe');
    expect(DASHBOARD_CSP).toContain("default-src 'none'");
    expect(DASHBOARD_CSP).toContain("require-trusted-types-for 'script'");
  });

  test("never turns a stranger's text into markup", () => {
    expect(dashboardScript).not.toMatch(
      /innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|\.href\b/,
    );
  });

  test('calls the hub beside it, whatever the path', () => {
    const [addresses = ''] = /const API = [\s\S]*?const SOCKET = [^;]*;/.exec(dashboardScript) ?? [];
    const at = (baseURI: string) => new Script(`${addresses} [API, SOCKET].join(' ')`).runInNewContext({ document: { baseURI }, URL });
    expect(at('http://127.0.0.1:4000/')).toBe('http://127.0.0.1:4000/graphql ws://127.0.0.1:4000/graphql');
    expect(at('https://example.com/a/hub/?x=1#y')).toBe('https://example.com/a/hub/graphql wss://example.com/a/hub/graphql');
    expect(dashboardScript.replace(addresses, '')).not.toMatch(/["'`]\/(graphql|assets)|location\.(host|origin)/);
  });

  test('keeps the key in the session only', () => {
    expect(dashboardScript).not.toMatch(/localStorage|document\.cookie|indexedDB/);
  });

  test('has every element that its script looks for', () => {
    const wanted = [...dashboardScript.matchAll(/byId\('([^']+)'\)/g)].map((match) => match[1] ?? '');
    const present = new Set([...page.matchAll(/\bid="([^"]+)"/g)].map((match) => match[1] ?? ''));
    expect(wanted.filter((id) => !present.has(id))).toEqual([]);
  });

  test('names each id once and labels every field', () => {
    const present = [...page.matchAll(/\bid="([^"]+)"/g)].map((match) => match[1] ?? '');
    expect(new Set(present).size).toBe(present.length);
    const labelled = new Set(
      [...page.matchAll(/<label for="([^"]+)"/g), ...page.matchAll(/<label>[^<]*<(?:input|select) id="([^"]+)"/g)].map(
        (match) => match[1] ?? '',
      ),
    );
    for (const [, id = ''] of page.matchAll(/<(?:input|select) id="([^"]+)"/g)) expect(labelled).toContain(id);
  });

  test('serves the scripts the page was written with', () => {
    expect(staticFile('/assets/dashboard.js')?.body.toString()).toBe(dashboardScript);
    expect(staticFile('/assets/delivery-list.js')?.body.toString()).toBe(deliveryListScript);
  });

  test('asks in documents that parse', () => {
    const source = dashboardScript.slice(dashboardScript.indexOf('const VIEWER'), dashboardScript.indexOf('// ---- page ----'));
    const names = ['VIEWER', 'APPLICATIONS', 'WEBHOOKS', 'DELIVERIES', 'DELIVERY', 'UPDATES', 'WEBHOOK_MUTATIONS', 'DELIVERY_MUTATIONS'];
    const value: unknown = new Script(`${source}; JSON.stringify([${names.join(', ')}])`).runInNewContext();
    const documents = (JSON.stringify(JSON.parse(String(value))).match(/"(?:query|mutation|subscription) (?:[^"\\]|\\.)*"/g) ?? []).map(
      String,
    );
    expect(documents).toHaveLength(10);
    for (const document of documents) expect(() => parse(JSON.parse(document))).not.toThrow();
  });
});

describe('the list of deliveries', () => {
  const { DeliveryList } = runScript();

  test('shows the newest first and lets the oldest go beyond its bound', () => {
    const list = new DeliveryList(3);
    for (const id of ['a', 'b', 'c', 'd']) list.apply(update(id));
    expect(ids(list)).toEqual(['d', 'c', 'b']);
  });

  test('changes a delivery in its place', () => {
    const list = new DeliveryList(3);
    for (const id of ['a', 'b']) list.apply(update(id));
    list.apply(update('a', { status: 'SUCCEEDED', attempt: attempt(1) }));
    expect(ids(list)).toEqual(['b', 'a']);
    expect(list.rows[1]).toMatchObject({ status: 'SUCCEEDED', attempt: { number: 1 } });
  });

  test('keeps the last attempt when an update has none', () => {
    const list = new DeliveryList(3);
    list.apply(update('a', { status: 'RETRYING', attempt: attempt(1) }));
    list.apply(update('a', { status: 'CANCELLED' }));
    expect(list.rows[0]).toMatchObject({ status: 'CANCELLED', attempt: { number: 1 } });
  });

  test('takes from a query what is not newer in the list', () => {
    const list = new DeliveryList(9);
    list.apply(update('old'));
    list.apply(update('seen'));
    const since = list.revision;
    list.apply(update('live'));
    list.apply(update('seen', { status: 'SUCCEEDED' }));
    list.merge([delivery('seen'), delivery('queried', { attempts: { nodes: [attempt(2), attempt(1)] } })], since);
    expect(ids(list)).toEqual(['live', 'seen', 'queried', 'old']);
    expect(list.rows[1]?.status).toBe('SUCCEEDED');
    expect(list.rows[2]?.attempt?.number).toBe(2);
  });

  test('corrects from a query what went unseen while there was no stream', () => {
    const list = new DeliveryList(9);
    list.apply(update('a'));
    list.merge([delivery('a', { status: 'FAILED' })], list.revision);
    expect(list.rows[0]?.status).toBe('FAILED');
  });

  test('stays within its bound whatever a query brings', () => {
    const list = new DeliveryList(2);
    list.merge(
      ['a', 'b', 'c'].map((id) => delivery(id)),
      list.revision,
    );
    expect(ids(list)).toEqual(['a', 'b']);
  });

  test('shows what a mutation answered', () => {
    const list = new DeliveryList(2);
    list.apply(update('a'));
    list.patch({ id: 'a', status: 'CANCELLED', attemptCount: 0 });
    list.patch({ id: 'unknown', status: 'CANCELLED', attemptCount: 0 });
    expect(list.rows.map((row) => row.status)).toEqual(['CANCELLED']);
  });
});

describe('the counters', () => {
  const { Counters } = runScript();

  test('count updates, attempts and ends of deliveries', () => {
    const counters = new Counters();
    counters.record(update('a'), 0);
    counters.record(update('a', { status: 'RETRYING', attempt: attempt(1, { outcome: 'TIMEOUT', durationMs: 900 }) }), 0);
    counters.record(update('a', { status: 'SUCCEEDED', attempt: attempt(2, { durationMs: 100 }) }), 0);
    expect(counters).toMatchObject({ updates: 3, attemptsSucceeded: 1, attemptsFailed: 1, medianMs: 900 });
    expect({ ...counters.deliveries }).toEqual({ SUCCEEDED: 1, FAILED: 0, CANCELLED: 0 });
  });

  test('give the rate of the last ten whole seconds and forget what is older', () => {
    const counters = new Counters();
    for (let second = 0; second < 20; second += 1) counters.record(update('a'), second * 1000);
    expect(counters.rate(20_000)).toBe(1);
    expect(counters.rate(60_000)).toBe(0);
  });
});
