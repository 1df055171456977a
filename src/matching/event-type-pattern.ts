/**
 * Whether an event type is one that a pattern names. `*` stands for one or more parts and may be the first part, the
 * last or both: `order.*` takes `order.created` and `order.line.added`, `*.created` takes `order.created`.
 */
export function matchesType(pattern: string, type: string): boolean {
  if (pattern === '*') return true;
  const isOpenBefore = pattern.startsWith('*.');
  const isOpenAfter = pattern.endsWith('.*');
  if (!isOpenBefore && !isOpenAfter) return pattern === type;
  const core = pattern.slice(isOpenBefore ? 1 : 0, isOpenAfter ? -1 : undefined);
  if (isOpenBefore && isOpenAfter) {
    const at = type.indexOf(core, 1);
    return at > 0 && at + core.length < type.length;
  }
  return core.length < type.length && (isOpenBefore ? type.endsWith(core) : type.startsWith(core));
}

export function matchesAnyType(patterns: readonly string[], type: string): boolean {
  return patterns.some((pattern) => matchesType(pattern, type));
}

/**
 * Names and wildcards as a condition on the `type` column. SQLite's LIKE ignores case, so wildcards compare by
 * substring instead, which both databases do byte by byte.
 */
export function typeCondition(patterns: readonly string[], column = 'type'): [condition: string, ...values: unknown[]] {
  const conditions: string[] = [];
  const values: unknown[] = [];
  for (const pattern of patterns) {
    if (pattern === '*') return ['1 = 1'];
    const core = pattern.replace(/^\*(?=\.)/, '').replace(/(?<=\.)\*$/, '');
    const isOpenBefore = pattern.startsWith('*.');
    const isOpenAfter = pattern.endsWith('.*');
    if (!isOpenBefore && !isOpenAfter) {
      conditions.push(`${column} = ?`);
      values.push(core);
    } else if (isOpenBefore && isOpenAfter) {
      conditions.push(`(INSTR(${column}, ?) > 1 AND INSTR(${column}, ?) + ${core.length} <= LENGTH(${column}))`);
      values.push(core, core);
    } else {
      const start = isOpenAfter ? `SUBSTR(${column}, 1, ${core.length})` : `SUBSTR(${column}, LENGTH(${column}) - ${core.length} + 1)`;
      conditions.push(`(LENGTH(${column}) > ${core.length} AND ${start} = ?)`);
      values.push(core);
    }
  }
  return [conditions.length > 0 ? `(${conditions.join(' OR ')})` : '1 = 0', ...values];
}
