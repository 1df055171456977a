import { randomBytes } from 'node:crypto';

/*
 * JavaScript cannot hold every JSON text: it moves names that are whole numbers to the front, rounds numbers to 53 bits,
 * writes 1.0 as 1 and keeps the last of two equal names. A payload is its publisher's and goes to receivers as it came,
 * so the places of whatever may be a payload are remembered beside the parsed values. Only places: a text is cut out and
 * looked at when somebody asks for it.
 *
 * The same places cut a large request into pieces, which are parsed in several turns of the event loop.
 */

/** A request may be nested this deeply: payloads of 500 levels, and what is around them. */
export const MAX_JSON_DEPTH_PER_REQUEST = 1_000;
/** Values that are a variable or named `payload`, of one request: 50 aliases of 1,000 events are 50,000. */
const MAX_PAYLOADS_PER_REQUEST = 50_000;
/** Texts up to this are parsed at once: the costliest, of short names that all differ, take 0.11 µs a character, 7 ms. */
const MAX_CHARS_PARSED_AT_ONCE = 64 * 1024;
/** Of a variable, a payload, or what is around them: 130 ms of the costliest. As long as a payload may be. */
export const MAX_CHARS_PER_PIECE = 1024 * 1024;
/** Of a string, as far as it counts for that: the rest of it is copied. */
const MAX_CHARS_COUNTED_PER_STRING = 64;
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

/** Stands in the place of a variable or payload that is too long to be parsed: nobody takes so much. */
export class Oversized {
  constructor(readonly chars: number) {}
}

/**
 * Stands in the place of a payload of a large request. It is known to be JSON, and parsed again by whoever looks at it: a
 * request of 16 MiB takes some 350 MB as values. `writtenAs` knows its text.
 */
export class Unparsed {
  /** The one that was looked at last, as it is looked at several times in a row. */
  static #latest: { readonly of: Unparsed; readonly value: unknown } | undefined;
  readonly #written: Written;

  constructor(came: Written) {
    this.#written = came;
    written.set(this, came);
  }

  get chars(): number {
    return this.#written.end - this.#written.start;
  }

  parse(): unknown {
    if (Unparsed.#latest?.of !== this) {
      const { source, start, end } = this.#written;
      const value: unknown = JSON.parse(source.slice(start, end));
      written.set(value as object, this.#written);
      Unparsed.#latest = { of: this, value };
    }
    return Unparsed.#latest.value;
  }

  toJSON(): unknown {
    return this.parse();
  }
}

/** What the variables of a request have beside their values; see `exactVariables`. */
export interface VariableNotes {
  /** Where null stands, or a number or string that was written otherwise than JavaScript would: its text, by what has it and its name there. */
  readonly exact: ReadonlyMap<object, ReadonlyMap<string | number, string>>;
  /** How many values are `Oversized`. */
  readonly oversized: number;
  readonly unparsed: readonly { readonly parent: object; readonly key: string | number; readonly value: Unparsed }[];
}

const notes = new WeakMap<object, VariableNotes>();

/** Undefined where there is nothing to note, as in almost all requests. */
export function notesOf(variables: object): VariableNotes | undefined {
  return notes.get(variables);
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

/** A number or string together with its text: JSON that is no object has no other place for it. */
export function exactScalar(value: number | string, text: string): object {
  const box = Object(value) as object;
  written.set(box, { source: text, start: 0, end: text.length, depth: 0 });
  return box;
}

/** Null where GraphQL takes none: a value of the type `JSON!` is there, and it is this. */
export const JSON_NULL: object = { toJSON: () => null };
written.set(JSON_NULL, { source: 'null', start: 0, end: 4, depth: 0 });

/** What `JSON_NULL`, `exactScalar` or `Unparsed` stands for; anything else is itself. */
export function plainJson(value: unknown): unknown {
  if (value === JSON_NULL) return null;
  if (value instanceof Unparsed) return value.parse();
  return value instanceof Number || value instanceof String ? value.valueOf() : value;
}

/**
 * `JSON.parse`, remembering the places of possible payloads: objects and arrays that are a variable, or are named
 * `payload` within one. Depth is judged first: parsing a megabyte of brackets would take some 30 MB.
 * @throws JsonRefused for what is nested too deeply; SyntaxError for what is no JSON
 */
export function parseRequest(text: string, shape: RequestShape): unknown {
  const found = new Survey(text, shape).survey();
  const root: unknown = JSON.parse(text);
  // In the order of the text: of two equal names the last has the value, and its place.
  for (const { place, start, end, depth } of found.sites) {
    const value = valueAt(place, root);
    if (typeof value === 'object' && value !== null) written.set(value, { source: text, start, end, depth });
  }
  note(found.scalars, { text, shape, root });
  return root;
}

/** Whether a text is to be parsed by `parseRequestInTurns`. */
export function isLongRequest(text: string): boolean {
  return text.length > MAX_CHARS_PARSED_AT_ONCE;
}

/** Counts characters that were parsed; a promise: the next are to be parsed when it resolves. */
export type TakeTurn = (chars: number) => Promise<void> | undefined;

/**
 * As `parseRequest`, of a large text: each variable and each payload is parsed by itself, so that others get the event loop
 * between them. Of 16 MiB `JSON.parse` can take 2.7 s. Payloads are `Unparsed`, and so are the variables that
 * `jsonVariables` names when it has seen what is around them.
 * @throws JsonRefused also for what is too much around variables and payloads
 */
export async function parseRequestInTurns(
  text: string,
  shape: RequestShape,
  { turn, jsonVariables = () => new Set() }: { turn: TakeTurn; jsonVariables?: (root: unknown) => ReadonlySet<string> },
): Promise<unknown> {
  await turn(0);
  const { sites, scalars } = new Survey(text, shape).survey();
  const pieces = new Pieces(text, sites);
  // Walking over a character takes a twentieth of the time of parsing it.
  await turn(text.length / 20);
  const root = pieces.parse(null);
  if (root instanceof Oversized)
    throw new JsonRefused(`expected at most ${MAX_CHARS_PER_PIECE} characters beside variables and long strings, got ${root.chars}`);
  await turn(text.length - pieces.chars);
  const asText = jsonVariables(root);
  const unparsed: { parent: object; key: string | number; value: Unparsed }[] = [];
  let oversized = 0;
  let textEnd = 0;
  for (const site of pieces.outerFirst) {
    const { place, start, end, depth, isVariable } = site;
    if (start < textEnd) continue; // a part of what is kept as text
    const parent = place.parent === null ? root : valueAt(place.parent, root);
    if (!pieces.stillHas(parent, site)) continue; // of two equal names the first, or within what is too long
    const isWhole = isVariable && asText.has(String(place.key));
    if (isWhole) textEnd = end;
    const parsed = isWhole ? pieces.parseWhole(site) : pieces.parse(site);
    const came = { source: text, start, end, depth };
    const isText = (isWhole || !isVariable) && !(parsed instanceof Oversized);
    place.value = isText ? new Unparsed(came) : parsed;
    if (place.value instanceof Unparsed) unparsed.push({ parent, key: place.key, value: place.value });
    else if (parsed instanceof Oversized) oversized++;
    else written.set(parsed as object, came);
    setOwn(parent, place.key, place.value);
    const wait = turn(end - start);
    if (wait) await wait;
  }
  note(scalars, { text, shape, root, oversized, unparsed });
  return root;
}

/** `__proto__` is a name as any other. */
function setOwn(parent: object, key: string | number, value: unknown): void {
  Object.defineProperty(parent, key, { value, writable: true, enumerable: true, configurable: true });
}

/** A text of JSON without the sites in it, each of which a string of its own stands for. */
class Pieces {
  /** Sites come after those that they are in. */
  readonly outerFirst: readonly Site[];
  /** In all sites that are in no other. */
  readonly chars: number;
  readonly #text: string;
  /** Nobody can write it into a request. */
  readonly #nonce = randomBytes(15).toString('base64url');
  readonly #number = new Map<Site, number>();
  readonly #inner = new Map<Site | null, Site[]>();

  /** `sites`: each before the one that it is in. */
  constructor(text: string, sites: readonly Site[]) {
    this.#text = text;
    const unclaimed: Site[] = [];
    for (const [number, site] of sites.entries()) {
      this.#number.set(site, number);
      let from = unclaimed.length;
      while (from > 0 && (unclaimed[from - 1]?.start ?? 0) > site.start) from--;
      if (from < unclaimed.length) this.#inner.set(site, unclaimed.splice(from));
      unclaimed.push(site);
    }
    this.#inner.set(null, unclaimed);
    this.outerFirst = [...sites].sort((a, b) => a.start - b.start);
    this.chars = unclaimed.reduce((sum, { start, end }) => sum + end - start, 0);
  }

  /** Null: what is around all sites. */
  parse(site: Site | null): unknown {
    return this.#parse(this.#without(site));
  }

  /** With the sites in it. */
  parseWhole({ start, end }: Site): unknown {
    return this.#parse(this.#text.slice(start, end));
  }

  #parse(text: string): unknown {
    const chars = text.length > MAX_CHARS_PER_PIECE ? countedChars(text) : 0;
    return chars > MAX_CHARS_PER_PIECE ? new Oversized(chars) : JSON.parse(text);
  }

  /** Whether the value to be is this site's. */
  stillHas(parent: unknown, site: Site): parent is object {
    return (
      typeof parent === 'object' &&
      parent !== null &&
      Object.hasOwn(parent, site.place.key) &&
      parent[site.place.key as keyof typeof parent] === this.#standIn(site)
    );
  }

  #standIn(site: Site): string {
    return `${this.#nonce}${this.#number.get(site)}`;
  }

  #without(site: Site | null): string {
    const parts: string[] = [];
    let from = site?.start ?? 0;
    for (const inner of this.#inner.get(site) ?? []) {
      parts.push(this.#text.slice(from, inner.start), `"${this.#standIn(inner)}"`);
      from = inner.end;
    }
    parts.push(this.#text.slice(from, site?.end));
    return parts.join('');
  }
}

/** White space and most of a long string take next to no time. */
function countedChars(text: string): number {
  let chars = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code > 0x20) chars++;
    if (code !== QUOTE) continue;
    const end = closingQuote(text, at);
    chars += Math.min(end - at, MAX_CHARS_COUNTED_PER_STRING);
    at = end;
  }
  return chars;
}

interface Noted extends Partial<Omit<VariableNotes, 'exact'>> {
  readonly text: string;
  readonly shape: RequestShape;
  readonly root: unknown;
}

function note(scalars: readonly Scalar[], { text, shape, root, oversized = 0, unparsed = [] }: Noted): void {
  if (scalars.length === 0 && oversized === 0 && unparsed.length === 0) return;
  const variables = valueAt(placeOf(shape.variablesAt), root);
  if (typeof variables !== 'object' || variables === null) return;
  const exact = new Map<object, Map<string | number, string>>();
  for (const { place, start, end } of scalars) {
    const parent = place.parent === null ? root : valueAt(place.parent, root);
    const value = valueAt(place, root);
    const source = text.slice(start, end);
    // Of two equal names the first may be another value.
    if (typeof parent !== 'object' || parent === null || !Object.is(value, JSON.parse(source))) continue;
    const texts = exact.get(parent) ?? new Map<string | number, string>();
    exact.set(parent, texts.set(place.key, source));
  }
  notes.set(variables, { exact, oversized, unparsed });
}

function placeOf(names: readonly string[]): Place | null {
  return names.reduce<Place | null>((parent, key) => ({ parent, key }), null);
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
  /** Else it is named `payload`. */
  readonly isVariable: boolean;
}

/** A number or string that JavaScript would write otherwise, or null. */
type Scalar = Pick<Site, 'place' | 'start' | 'end'>;

function valueAt(place: Place | null, root: unknown): unknown {
  if (place === null) return root;
  if ('value' in place) return place.value;
  const parent = valueAt(place.parent, root);
  // Of two equal names the first may have had containers that the value does not have.
  place.value =
    typeof parent === 'object' && parent !== null && Object.hasOwn(parent, place.key)
      ? parent[place.key as keyof typeof parent]
      : undefined;
  return place.value;
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const ZERO = 0x30;
const NINE = 0x39;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
/** `[` and `{`, `]` and `}` differ in this bit only. */
const BRACE = 0x20;
const OPEN = 0x7b;
const CLOSE = 0x7d;
const PAYLOAD = 'payload';
/** `\u0070` */
const ESCAPED_CHARS = 6;

/** One pass over a text that may not even be JSON: half a microsecond a kilobyte, strings being skipped at native speed. */
class Survey {
  readonly #text: string;
  readonly #shape: RequestShape;
  readonly #sites: Site[] = [];
  readonly #scalars: Scalar[] = [];
  #at = 0;
  /** The first backslash at or after the string that was looked at last. */
  #nextEscape = -1;
  #depth = 0;
  /** The deepest level since it was last reset. */
  #deepest = 0;

  constructor(text: string, shape: RequestShape) {
    this.#text = text;
    this.#shape = shape;
  }

  /** A site comes before the one that it is in. */
  survey(): { readonly sites: readonly Site[]; readonly scalars: readonly Scalar[] } {
    const { length } = this.#text;
    for (; this.#at < length; this.#at++) {
      const code = this.#text.charCodeAt(this.#at);
      if (code === QUOTE) this.#at = closingQuote(this.#text, this.#at);
      else if ((code | BRACE) === OPEN) this.#walk(null, -this.#shape.variablesAt.length);
    }
    return { sites: this.#sites, scalars: this.#scalars };
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
          if (level === 0 || (level > 0 && this.#isPayload(nameStart, nameEnd))) this.#scalar(place, nameStart, nameEnd);
        }
        this.#at = end;
      } else if (code === COMMA) {
        index++;
        isNameNext = !isArray;
      } else if ((code | BRACE) === OPEN) {
        if (isArray ? index >= this.#shape.mostEvents : isNameNext)
          this.#skip(); // or, in the place of a name, no JSON
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
    } else if (level === 0) this.#site(place, true, () => this.#walk(place, 1));
    else if (place.key === PAYLOAD) this.#site(place, false, () => this.#skip());
    else if (level < MAX_PAYLOAD_LEVEL) this.#walk(place, level + 1);
    else this.#skip();
  }

  #site(place: Place, isVariable: boolean, stepOver: () => void): void {
    const start = this.#at;
    const outer = this.#deepest;
    this.#deepest = this.#depth;
    stepOver();
    const depth = this.#deepest - this.#depth;
    if (outer > this.#deepest) this.#deepest = outer;
    this.#sites.push({ place, start, end: this.#at + 1, depth, isVariable });
    this.#bound();
  }

  #isPayload(nameStart: number, nameEnd: number): boolean {
    const chars = nameEnd - nameStart - 1;
    if (chars === PAYLOAD.length) return this.#text.startsWith(PAYLOAD, nameStart + 1);
    return chars >= ESCAPED_CHARS + PAYLOAD.length - 1 && nameIn(this.#text, nameStart, nameEnd) === PAYLOAD;
  }

  /** Remembers the value of a name where it is null, or a number or string of which something would be lost. */
  #scalar(parent: Place | null, nameStart: number, nameEnd: number): void {
    const text = this.#text;
    let start = nameEnd + 1;
    while (isSpace(text.charCodeAt(start)) || text.charCodeAt(start) === COLON) start++;
    const code = text.charCodeAt(start);
    let end = start + 1;
    if (code === QUOTE) {
      end = closingQuote(text, start) + 1;
      if (this.#nextEscape < start) this.#nextEscape = indexOrEnd(text.indexOf('\\', start), text);
      if (this.#nextEscape > end) return;
    } else if (code === MINUS || (code >= ZERO && code <= NINE)) {
      while (isOfNumber(text.charCodeAt(end))) end++;
      if (String(Number(text.slice(start, end))) === text.slice(start, end)) return;
    } else if (text.startsWith('null', start)) end = start + 4;
    else return;
    this.#scalars.push({ place: { parent, key: nameIn(text, nameStart, nameEnd) }, start, end });
    this.#bound();
  }

  #bound(): void {
    if (this.#sites.length + this.#scalars.length > MAX_PAYLOADS_PER_REQUEST)
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

function indexOrEnd(index: number, text: string): number {
  return index === -1 ? text.length : index;
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;
}

/** Digits, signs, `.`, `e` and `E`. */
function isOfNumber(code: number): boolean {
  return (code >= ZERO && code <= NINE) || code === 0x2b || code === MINUS || code === 0x2e || code === 0x65 || code === 0x45;
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

/** The text of what `at` of `path.ts` finds at a dotted path in minified JSON; undefined where there is nothing. */
export function textAt(json: string, path: string): string | undefined {
  let start = 0;
  for (const part of path.split('.')) {
    const found = json.charCodeAt(start) === OPEN ? memberAt(json, start, part) : elementAt(json, start, part);
    if (found === undefined) return undefined;
    start = found;
  }
  return json.slice(start, endOfValue(json, start));
}

/** Where the value of this name begins in the object that begins at `start`. */
function memberAt(json: string, start: number, name: string): number | undefined {
  for (let at = start + 1; json.charCodeAt(at) === QUOTE; at++) {
    const end = closingQuote(json, at);
    if (nameIn(json, at, end) === name) return end + 2; // after the quote and the colon
    at = endOfValue(json, end + 2);
  }
  return undefined;
}

function elementAt(json: string, start: number, part: string): number | undefined {
  if (json.charCodeAt(start) !== (OPEN & ~BRACE) || !/^\d+$/.test(part)) return undefined;
  let at = start + 1;
  if (json.charCodeAt(at) === (CLOSE & ~BRACE)) return undefined;
  for (let left = Number(part); left > 0; left--) {
    at = endOfValue(json, at);
    if (json.charCodeAt(at) !== COMMA) return undefined;
    at++;
  }
  return at;
}

/** After the value that begins at `start`. */
function endOfValue(json: string, start: number): number {
  let depth = 0;
  for (let at = start; at < json.length; at++) {
    const code = json.charCodeAt(at);
    if (code === QUOTE) at = closingQuote(json, at);
    else if ((code | BRACE) === OPEN) depth++;
    else if ((code | BRACE) === CLOSE) {
      if (depth === 0) return at;
      depth--;
    } else if (code === COMMA && depth === 0) return at;
  }
  return json.length;
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
