import { duplicateName, Oversized, squeeze, Unparsed, writtenAs } from './json-source';

/**
 * Values nested deeper than this are refused: beyond some thousand levels `JSON.stringify` overflows the stack, and
 * where exactly depends on who calls it, so a value that could be stored might not be answered with.
 */
export const MAX_JSON_DEPTH = 500;

/** Minified JSON; null for what is nested too deeply; undefined for what is no JSON. */
export function minified(value: unknown): string | null | undefined {
  try {
    const text: string | undefined = JSON.stringify(value);
    return text !== undefined && isDeep(text) ? null : text;
  } catch {
    return null; // nested deeper than the stack
  }
}

/** A payload as text, or what is wrong with it. */
export type PayloadText = { readonly text: string } | { readonly problem: 'deep' | 'long' | 'missing' } | { readonly duplicate: string };

/**
 * Minified JSON, exactly as it came in the request: its names in their order, its numbers with all their digits. Where it
 * is longer than `mostChars`, nothing is known of it but its length.
 */
export function payloadTextOf(payload: unknown, mostChars = Number.POSITIVE_INFINITY): PayloadText {
  if (payload instanceof Oversized) return { problem: 'long' };
  const came = writtenAs(payload);
  if (came === undefined) {
    const text = minified(payload);
    return typeof text === 'string' ? { text } : { problem: text === null ? 'deep' : 'missing' };
  }
  if (came.depth > MAX_JSON_DEPTH) return { problem: 'deep' };
  const { source, start, end } = came;
  if (end - start > mostChars) {
    const { text } = squeeze(came);
    if (text.length > mostChars) return { text };
  }
  if (payload instanceof Unparsed) return distinctly(squeeze(came).text);
  const text = JSON.stringify(payload);
  // Most clients write as JavaScript does. Where they do, nothing was lost in parsing.
  if (text.length === end - start && source.slice(start, end) === text) return { text };
  const exact = squeeze(came);
  if (exact.text === text) return { text }; // white space is all there was
  const { names } = squeeze({ source: text, start: 0, end: text.length });
  return exact.names === names ? { text: exact.text } : distinctly(exact.text);
}

function distinctly(text: string): PayloadText {
  const duplicate = duplicateName(text);
  return duplicate === undefined ? { text } : { duplicate };
}

/** Whether JSON is nested too deeply. Looks at the text, about a nanosecond a character: shorter than two brackets a level it can't be deep. */
export function isDeep(text: string): boolean {
  if (text.length <= 2 * MAX_JSON_DEPTH) return false;
  let depth = 0;
  for (let index = 0; index < text.length; index++) {
    switch (text.charCodeAt(index)) {
      case 0x22: // a string: on to its closing quote
        for (index++; text.charCodeAt(index) !== 0x22; index++) if (text.charCodeAt(index) === 0x5c) index++;
        break;
      case 0x5b:
      case 0x7b:
        if (++depth > MAX_JSON_DEPTH) return true;
        break;
      case 0x5d:
      case 0x7d:
        depth--;
    }
  }
  return false;
}
