/** What is at a dotted path in a JSON value: `order.lines.0.sku`. A part is an own key or an index; null where there is nothing. */
export function at(value: unknown, path: string): unknown {
  let here = value;
  for (const part of path.split('.')) {
    if (Array.isArray(here)) here = /^\d+$/.test(part) ? here[Number(part)] : undefined;
    else if (typeof here === 'object' && here !== null && Object.hasOwn(here, part)) here = (here as Record<string, unknown>)[part];
    else return null;
  }
  return here ?? null;
}
