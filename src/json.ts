import { sourceOf } from './json-source';

/**
 * Values nested deeper than this are refused: beyond some thousand levels `JSON.stringify` overflows the stack, and
 * where exactly depends on who calls it, so a value that could be stored might not be answered with.
 */
export const MOST_JSON_DEPTH = 500;

/** Minified JSON, as it came in the request where JavaScript would change it; null for what is nested too deeply; undefined for what is no JSON. */
export function minified(value: unknown): string | null | undefined {
  try {
    const text: string | undefined = sourceOf(value) ?? JSON.stringify(value);
    return text !== undefined && isDeep(text) ? null : text;
  } catch {
    return null; // nested deeper than the stack
  }
}

/** Looks at the text, about a nanosecond a character: shorter than two brackets a level it can't be deep. */
function isDeep(text: string): boolean {
  if (text.length <= 2 * MOST_JSON_DEPTH) return false;
  let depth = 0;
  for (let index = 0; index < text.length; index++) {
    switch (text.charCodeAt(index)) {
      case 0x22: // a string: on to its closing quote
        for (index++; text.charCodeAt(index) !== 0x22; index++) if (text.charCodeAt(index) === 0x5c) index++;
        break;
      case 0x5b:
      case 0x7b:
        if (++depth > MOST_JSON_DEPTH) return true;
        break;
      case 0x5d:
      case 0x7d:
        depth--;
    }
  }
  return false;
}
