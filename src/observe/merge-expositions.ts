/** One of several in Prometheus' text format, which wants the samples of a metric together, below its one `# HELP`. */
export function mergeExpositions(expositions: readonly string[]): string {
  const metrics = new Map<string, string[]>();
  for (const exposition of expositions)
    for (const metric of exposition.split(/^(?=# HELP )/m)) {
      const [help = '', type = '', ...samples] = metric.trimEnd().split('\n');
      const head = `${help}\n${type}`;
      metrics.set(head, [...(metrics.get(head) ?? [head]), ...samples]);
    }
  return `${[...metrics.values()].map((lines) => lines.join('\n')).join('\n\n')}\n`;
}
