/*
 * JavaScript cannot hold every JSON text: it moves names that are whole numbers to the front, rounds numbers to 53 bits,
 * writes 1.0 as 1 and keeps the last of two equal names. A payload is its publisher's and goes to receivers as it came,
 * so the places of whatever may be a payload are remembered beside the parsed values. Only places: a text is cut out and
 * looked at when somebody asks for it.
 */

/** A request may be nested this deeply: payloads of 500 levels, and what is around them. */
export const MAX_JSON_DEPTH_PER_REQUEST = 1_000;
/** Containers named `payload` that one request may have: 50 aliases of 1,000 events are 50,000. */
const MAX_PAYLOADS_PER_REQUEST = 50_000;
/** How far below its variable an event's payload can be: `$input.events[0].payload` is 4. */
const MAX_PAYLOAD_LEVEL = 6;

/** JSON that is well-formed and that the hub does not read all the same. */
export class JsonRefused extends Error {
  override readonly name = 'JsonRefused';
}

/** Where the text of an object or array stands. */
export interface Written {
  readonly source: string;
  readonly start: number;
  readonly end: number;
  /** Levels of nesting, its own included. */
  readonly depth: number;
}

export interface RequestShape {
  /** The names that lead from the root to the variables of the operation. */
  readonly variablesAt: readonly string[];
  /** A list of events that is longer is refused as a whole, so no places are remembered beyond. */
  readonly mostEvents: number;
}

/** Makes the text of a value when it is asked for. */
export type MakeText = () => { readonly text: string; readonly depth: number };

/** Forgotten with the values. */
const written = new WeakMap<object, Written | MakeText>();

/** The text that an object or array was read from, where it may be a payload. */
export function writtenAs(value: unknown): Written | undefined {
  const known = typeof value === 'object' && value !== null ? written.get(value) : undefined;
  if (typeof known !== 'function') return known;
  const { text, depth } = known();
  return { source: text, start: 0, end: text.length, depth };
}

export function rememberText(value: object, make: MakeText): void {
  written.set(value, make);
}

/**
 * `JSON.parse`, remembering the places of possible payloads: objects and arrays that are a variable, or are named
 * `payload` within one. Depth is judged first: parsing a megabyte of brackets would take some 30 MB.
 * @throws JsonRefused for what is nested too deeply; SyntaxError for what is no JSON
 */
export function parseRequest(text: string, shape: RequestShape): unknown {
  const sites = new Survey(text, shape).sites();
  const root: unknown = JSON.parse(text);
  // In the order of the text: of two equal names the last has the value, and its place.
  for (const { place, start, end, depth } of sites) {
    const value = valueAt(place, root);
    if (typeof value === 'object' && value !== null) written.set(value, { source: text, start, end, depth });
  }
  return root;
}

/** Where a container is in the value; the root has no place. */
interface Place {
  readonly parent: Place | null;
  readonly key: string | number;
  value?: unknown;
}

interface Site {
  readonly place: Place;
  readonly start: number;
  readonly end: number;
  readonly depth: number;
}

function valueAt(place: Place, root: unknown): unknown {
  if ('value' in place) return place.value;
  const parent = place.parent === null ? root : valueAt(place.parent, root);
  // Of two equal names the first may have had containers that the value does not have.
  place.value =
    typeof parent === 'object' && parent !== null && Object.hasOwn(parent, place.key)
      ? parent[place.key as keyof typeof parent]
      : undefined;
  return place.value;
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;
/** `[` and `{`, `]` and `}` differ in this bit only. */
const BRACE = 0x20;
const OPEN = 0x7b;
const CLOSE = 0x7d;

/** One pass over a text that may not even be JSON: half a microsecond a kilobyte, strings being skipped at native speed. */
class Survey {
  readonly #text: string;
  readonly #shape: RequestShape;
  readonly #sites: Site[] = [];
  #at = 0;
  #depth = 0;
  /** The deepest level since it was last reset. */
  #deepest = 0;

  constructor(text: string, shape: RequestShape) {
    this.#text = text;
    this.#shape = shape;
  }

  sites(): readonly Site[] {
    const { length } = this.#text;
    for (; this.#at < length; this.#at++) {
      const code = this.#text.charCodeAt(this.#at);
      if (code === QUOTE) this.#at = closingQuote(this.#text, this.#at);
      else if ((code | BRACE) === OPEN) this.#walk(null, -this.#shape.variablesAt.length);
    }
    return this.#sites;
  }

  /** From an opening bracket to its closing one, looking at the containers inside. `level`: below the variables; negative above. */
  #walk(place: Place | null, level: number): void {
    const text = this.#text;
    const isArray = text.charCodeAt(this.#at) === (OPEN & ~BRACE);
    let index = 0;
    let nameStart = 0;
    let nameEnd = 0;
    let isNameNext = !isArray;
    this.#enter();
    for (this.#at++; this.#at < text.length; this.#at++) {
      const code = text.charCodeAt(this.#at);
      if (code === QUOTE) {
        const end = closingQuote(text, this.#at);
        if (isNameNext) {
          nameStart = this.#at;
          nameEnd = end;
          isNameNext = false;
        }
        this.#at = end;
      } else if (code === COMMA) {
        index++;
        isNameNext = !isArray;
      } else if ((code | BRACE) === OPEN) {
        if (isArray && index >= this.#shape.mostEvents) this.#skip();
        else this.#child({ parent: place, key: isArray ? index : nameIn(text, nameStart, nameEnd) }, level);
      } else if ((code | BRACE) === CLOSE) {
        this.#depth--;
        return;
      }
    }
  }

  #child(place: Place, level: number): void {
    const { variablesAt } = this.#shape;
    if (level < 0) {
      if (place.key === variablesAt[variablesAt.length + level]) this.#walk(place, level + 1);
      else this.#skip();
    } else if (level === 0) this.#site(place, () => this.#walk(place, 1));
    else if (place.key === 'payload') this.#site(place, () => this.#skip());
    else if (level < MAX_PAYLOAD_LEVEL) this.#walk(place, level + 1);
    else this.#skip();
  }

  #site(place: Place, stepOver: () => void): void {
    const start = this.#at;
    const outer = this.#deepest;
    this.#deepest = this.#depth;
    stepOver();
    const depth = this.#deepest - this.#depth;
    if (outer > this.#deepest) this.#deepest = outer;
    if (this.#sites.push({ place, start, end: this.#at + 1, depth }) > MAX_PAYLOADS_PER_REQUEST)
      throw new JsonRefused(`expected at most ${MAX_PAYLOADS_PER_REQUEST} payloads, got more`);
  }

  /** From an opening bracket to its closing one. */
  #skip(): void {
    const text = this.#text;
    const { length } = text;
    const outside = this.#depth;
    let at = this.#at;
    this.#enter();
    for (at++; at < length; at++) {
      const code = text.charCodeAt(at);
      if (code === QUOTE) at = closingQuote(text, at);
      else if ((code | BRACE) === OPEN) this.#enter();
      else if ((code | BRACE) === CLOSE && --this.#depth === outside) break;
    }
    this.#at = at;
  }

  #enter(): void {
    if (++this.#depth <= this.#deepest) return;
    this.#deepest = this.#depth;
    if (this.#depth > MAX_JSON_DEPTH_PER_REQUEST)
      throw new JsonRefused(`expected JSON of at most ${MAX_JSON_DEPTH_PER_REQUEST} levels, got more`);
  }
}

/** Where the string that opens at `start` closes; the length of the text where it does not. */
function closingQuote(text: string, start: number): number {
  for (let at = text.indexOf('"', start + 1); at !== -1; at = text.indexOf('"', at + 1)) {
    let first = at;
    while (text.charCodeAt(first - 1) === BACKSLASH) first--;
    if ((at - first) % 2 === 0) return at;
  }
  return text.length;
}

/** The name that stands between these quotes. */
function nameIn(text: string, start: number, end: number): string {
  const raw = text.slice(start + 1, end);
  if (!raw.includes('\\')) return raw;
  try {
    return JSON.parse(`"${raw}"`) as string;
  } catch {
    return raw; // no JSON: parsing the whole will say so
  }
}

/** JSON without white space outside of strings, and how many names its objects have. */
export interface Squeezed {
  readonly text: string;
  readonly names: number;
}

/** Of well-formed JSON. The text is a copy: a slice would keep the whole source in memory. */
export function squeeze({ source, start, end }: Pick<Written, 'source' | 'start' | 'end'>): Squeezed {
  const parts: string[] = [];
  let from = start;
  let names = 0;
  for (let at = start; at < end; at++) {
    const code = source.charCodeAt(at);
    if (code === QUOTE) at = closingQuote(source, at);
    else if (code === 0x3a) names++;
    else if (code <= 0x20) {
      if (at > from) parts.push(source.slice(from, at));
      from = at + 1;
    }
  }
  parts.push(source.slice(from, end));
  return { text: parts.length === 1 ? Buffer.from(parts[0] ?? '').toString() : parts.join(''), names };
}

/** The first name that an object of well-formed JSON has twice. */
export function duplicateName(json: string): string | undefined {
  const objects: (Set<string> | null)[] = [];
  let isNameNext = false;
  for (let at = 0; at < json.length; at++) {
    const code = json.charCodeAt(at);
    if (code === QUOTE) {
      const end = closingQuote(json, at);
      const names = objects.at(-1);
      if (isNameNext && names) {
        const name = nameIn(json, at, end);
        if (names.has(name)) return name;
        names.add(name);
      }
      isNameNext = false;
      at = end;
    } else if (code === COMMA) isNameNext = objects.at(-1) !== null;
    else if ((code | BRACE) === OPEN) {
      isNameNext = code === OPEN;
      objects.push(isNameNext ? new Set() : null);
    } else if ((code | BRACE) === CLOSE) objects.pop();
  }
  return undefined;
}
