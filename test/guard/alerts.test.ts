import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { metricLines } from '../../src/observe/metrics';
import { page, tableRows } from '../support/documentation';

interface SyntaxNode {
  readonly from: number;
  readonly to: number;
  readonly type: { readonly name: string; readonly isError: boolean };
  readonly node: { getChild(type: string): { getChildren(type: string): readonly SyntaxNode[] } | null };
}

/** Prometheus' own parser; its types are those of the ECMAScript module beside the one that is loaded. */
const { parser } = require('@prometheus-io/lezer-promql') as {
  parser: { parse(text: string): { iterate(visitor: { enter(node: SyntaxNode): void }): void } };
};

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly annotations: { readonly summary: string; readonly description: string };
}

const { groups } = parse(readFileSync(join(__dirname, '../../src/observe/alerts.yml'), 'utf8')) as {
  groups: { name: string; rules: Rule[] }[];
};
const rules = groups.flatMap((group) => group.rules);

/** What of an expression the parser does not understand; selectors' names and labels beside it. */
function read(expression: string) {
  const errors: string[] = [];
  const selectors: { metric: string; labels: string[] }[] = [];
  parser.parse(expression).iterate({
    enter: ({ type, from, to, node }) => {
      if (type.isError) errors.push(expression.slice(from));
      if (type.name !== 'VectorSelector') return;
      const text = expression.slice(from, to);
      const labels = node.getChild('LabelMatchers')?.getChildren('UnquotedLabelMatcher') ?? [];
      selectors.push({
        metric: /^\w+/.exec(text)?.[0] ?? '',
        labels: labels.map((label) => /^\w+/.exec(expression.slice(label.from, label.to))?.[0] ?? ''),
      });
    },
  });
  return { errors, selectors };
}

describe('The alert rules', () => {
  test('are PromQL, on metrics and labels that there are', () => {
    const labelsOf = new Map(metricLines().map(({ name, labels }) => [name, labels]));
    expect(read('count(x{a=~"b\\|c"} ==').errors).not.toEqual([]);
    expect(rules.length).toBeGreaterThan(5);
    for (const { alert, expr } of rules) {
      const { errors, selectors } = read(expr);
      expect([alert, errors]).toEqual([alert, []]);
      expect(selectors.length).toBeGreaterThan(0);
      for (const { metric, labels } of selectors) {
        const known = metric === 'up' ? ['job'] : labelsOf.get(metric.replace(/_bucket$/, ''));
        expect([alert, metric, known !== undefined]).toEqual([alert, metric, true]);
        expect([alert, labels.filter((label) => !known?.includes(label))]).toEqual([alert, []]);
      }
    }
  });

  test('hold for each of several hubs that one Prometheus scrapes: nothing is summed over jobs', () => {
    for (const { alert, expr } of rules) expect([alert, expr.match(/\b(sum|min|max|count|avg)\b(?! by \(job)/g)]).toEqual([alert, null]);
  });

  test('match whole codes: a backslash would be part of the pattern', () => {
    for (const { alert, expr } of rules) expect([alert, expr.includes('\\')]).toEqual([alert, false]);
  });

  test('are each in the table of the page on observability', () => {
    expect(tableRows('src/observe/README.md', '| alert | for |').map(([alert, lasts]) => [alert?.replaceAll('`', ''), lasts])).toEqual(
      rules.map(({ alert, for: lasts = '–' }) => [alert, lasts]),
    );
    expect(page('src/observe/README.md')).toContain('[alerts.yml](alerts.yml)');
  });
});
