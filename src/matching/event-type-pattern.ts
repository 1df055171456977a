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
