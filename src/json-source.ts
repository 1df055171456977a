/*
 * JavaScript cannot hold every JSON text: it moves names that are whole numbers to the front, rounds numbers to 53 bits
 * and writes 1.0 as 1. A payload is its publisher's and goes to receivers as it came, so where a request holds such a
 * thing, the text of its payloads is kept beside the parsed values.
 */

/** Texts of parsed objects and arrays; forgotten with them. */
const sources = new WeakMap<object, string>();

/** Names that are whole numbers, and numbers that JavaScript would write otherwise. Inside strings it is a false alarm, which costs little. */
const AT_RISK = /"\d+"\s*:|\d{16}|\d\.\d*0(?!\d)|\d[eE][+-]?\d|-0(?![.\d])|\.\d{15}/;

/** `JSON.parse`, remembering the text of whatever is named `payload`, where it matters. */
export function parseKeepingPayloads(text: string): unknown {
  const value: unknown = JSON.parse(text);
  if (AT_RISK.test(text)) rememberPayloads(text, value);
  return value;
}

/** The minified text that an object was parsed from, where it differs from what `JSON.stringify` would make of it. */
export function sourceOf(value: unknown): string | undefined {
  return typeof value === 'object' && value !== null ? sources.get(value) : undefined;
}

interface Frame {
  readonly value: unknown;
  readonly isPayload: boolean;
  readonly start: number;
  readonly isArray: boolean;
  index: number;
  name: string;
  /** In an object: the next string is a name. */
  isNameNext: boolean;
}

/** Walks the text and the value side by side; the text has been parsed, so it is well-formed. */
function rememberPayloads(text: string, root: unknown): void {
  const frames: Frame[] = [];
  for (let at = 0; at < text.length; at++) {
    const frame = frames.at(-1);
    switch (text[at]) {
      case '"': {
        const end = endOfString(text, at);
        if (frame?.isNameNext) {
          frame.name = JSON.parse(text.slice(at, end)) as string;
          frame.isNameNext = false;
        }
        at = end - 1;
        break;
      }
      case '{':
      case '[':
        frames.push(open(text[at] === '[', at, frame, root));
        break;
      case ',':
        if (frame) frame.index++;
        if (frame && !frame.isArray) frame.isNameNext = true;
        break;
      case '}':
      case ']':
        frames.pop();
        if (frame?.isPayload && typeof frame.value === 'object' && frame.value !== null)
          sources.set(frame.value, minify(text.slice(frame.start, at + 1)));
    }
  }
}

function open(isArray: boolean, start: number, parent: Frame | undefined, root: unknown): Frame {
  const value = parent === undefined ? root : childOf(parent);
  const isPayload = parent !== undefined && !parent.isArray && parent.name === 'payload';
  return { value, isPayload, start, isArray, index: 0, name: '', isNameNext: !isArray };
}

function childOf({ value, isArray, index, name }: Frame): unknown {
  if (typeof value !== 'object' || value === null) return undefined; // of two equal names only the last has a value
  return isArray ? (value as unknown[])[index] : (value as Record<string, unknown>)[name];
}

function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
  return at + 1;
}

/** Without white space, but for what strings hold. */
function minify(text: string): string {
  return text.replace(/("(?:[^"\\]|\\.)*")|\s+/g, '$1');
}
