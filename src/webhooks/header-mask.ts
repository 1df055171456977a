import type { Header } from './webhook';

const DOTS = '••••';
const SHOWN_CHARS = 4;
/** A shorter value shows none of its characters: of eight, half are hidden. */
const MIN_CHARS_TO_SHOW_SOME = 8;
/** A mask as it is shown; no value can be one, since values are ASCII. */
const MASK = /^••••[\x20-\x7e]{0,4}$/;
/** What the hub itself sends, and says in full. */
const HUBS_OWN = /^(content-type|user-agent|webhook-.*|livehook-.*|ce-.*|traceparent|tracestate)$/;

/** A secret value by its last four characters. The mask of a mask is that mask. */
export function masked(value: string): string {
  return value.length < MIN_CHARS_TO_SHOW_SOME ? DOTS : `${DOTS}${value.slice(-SHOWN_CHARS)}`;
}

export function isMask(value: string): boolean {
  return MASK.test(value);
}

export function maskedHeaders(headers: readonly Header[]): Header[] {
  return headers.map(({ name, value }) => ({ name, value: masked(value) }));
}

/** A header of a request as attempts keep it: what is not the hub's own may be a secret, no matter who added it. */
export function recorded(pair: readonly [name: string, value: string]): readonly [name: string, value: string] {
  const [name, value] = pair;
  return HUBS_OWN.test(name) ? pair : [name, masked(value)];
}
