import { type DocumentNode, Kind, visit } from 'graphql';
import { HubError } from '../errors';
import { Semaphore } from '../semaphore';
import { LIMITS } from './limits';
import type { UnsentAnswer } from './unsent';

/** What a budget counts: the reason that an operation was ended for. */
export type Reason = 'fields' | 'rows' | 'bytes' | 'read' | 'searched' | 'unsent';

/** What a field costs in an answer beside its name and value: quotes, colon, comma. */
const FIELD_BYTES = 4;
/** Between others get their turn: some 5 ms of fields, of parsing or of measuring. */
const SLICE_FIELDS = 4_000;
const SLICE_BYTES = 512 * 1024;
/** Writing as much as JSON takes some 2 ms. */
const HEAVY_BYTES = 256 * 1024;
/** Lists that the answer goes through in slices; shorter ones are not worth it. */
const LEAST_SLICED = 8;
/** Reads of one operation at a time: a page of 100 rows with a page below each would begin 100. */
const MAX_READS_AT_ONCE = 4;
/** Bytes are charged to what is unsent in steps of so many. */
const CHARGE_BYTES = 64 * 1024;
/** Of a mutation, whose small fields go on past the budget: they say what it has done. */
const GRACE = 2;
/** Errors in the answer of a mutation that passes its budget; further fields are null where they may be. */
const MAX_REFUSALS = 100;

interface Options {
  readonly document: DocumentNode;
  readonly isMutation: boolean;
  readonly unsent: UnsentAnswer;
  readonly exceeded: (reason: Reason) => void;
}

/**
 * What one operation, or one message of a stream, may take: fields, rows and bytes, counted while it runs. A query that
 * passes it ends: no further field of it is resolved and nothing more is read. A mutation goes on, since it has taken
 * place: from then on only its small fields are answered.
 */
export class Budget {
  readonly #options: Options;
  /** What ended it. */
  #problem: HubError | undefined;
  #end: ((problem: HubError) => void) | undefined;
  #fields = 0;
  #rows = 0;
  #bytes = 0;
  #readBytes = 0;
  #searchedRows = 0;
  #chargedBytes = 0;
  #chargedReadBytes = 0;
  #refusals = 0;
  #sliceFields = 0;
  #sliceBytes = 0;
  readonly #forLater: (() => void)[] = [];
  readonly #reads = new Semaphore(MAX_READS_AT_ONCE);

  constructor(options: Options) {
    this.#options = options;
  }

  get isMutation(): boolean {
    return this.#options.isMutation;
  }

  /** What the answer takes, which has to be released when it is sent. */
  get unsent(): UnsentAnswer {
    return this.#options.unsent;
  }

  /** Whether writing the answer as JSON takes long enough to matter to others. */
  get isHeavy(): boolean {
    return this.#bytes > HEAVY_BYTES && (this.#problem === undefined || this.isMutation);
  }

  get answerBytes(): number {
    return this.#bytes;
  }

  /** Undefined while it is kept. */
  get problem(): HubError | undefined {
    return this.#problem;
  }

  /** Calls back when it is passed. */
  whenExceeded(end: (problem: HubError) => void): void {
    this.#end = end;
    if (this.#problem) end(this.#problem);
  }

  /** Whether any field of this name is selected anywhere in the document. */
  asksFor(name: string): boolean {
    return fieldNamesOf(this.#options.document).has(name);
  }

  /** One more field, by the name that it has in the answer; false: it is not to be resolved. */
  field(name: string | number, isLarge: boolean): boolean {
    this.#fields++;
    this.#sliceFields++;
    if (this.#fields > LIMITS.answerFields)
      this.#exceed('fields', `The answer has more than ${LIMITS.answerFields} fields: ask for fewer fields or smaller pages (\`first\`).`);
    return this.bytes(typeof name === 'string' ? name.length + FIELD_BYTES : FIELD_BYTES, isLarge);
  }

  /** So many more bytes of the answer; false: they are not to be in it. */
  bytes(bytes: number, isLarge = true): boolean {
    this.#bytes += bytes;
    this.#sliceBytes += bytes;
    if (this.#bytes > LIMITS.answerBytes) this.#exceedBytes();
    else if (this.#uncharged > CHARGE_BYTES) this.#charge();
    if (this.#problem === undefined) return true;
    return this.isMutation && !isLarge && this.#bytes <= GRACE * LIMITS.answerBytes;
  }

  /**
   * Before something large is made for the answer; it counts when it is there.
   * @throws HubError where the answer has no room for it
   */
  demand(bytes: number): void {
    if (this.#bytes + bytes > LIMITS.answerBytes) this.#exceedBytes();
    if (this.#problem) throw this.#problem;
  }

  /** So many more rows in a list. */
  rows(rows: number): boolean {
    this.#rows += rows;
    if (this.#rows > LIMITS.answerRows)
      this.#exceed('rows', `The answer has more than ${LIMITS.answerRows} rows: ask for smaller pages (\`first\`).`);
    return this.#problem === undefined;
  }

  /** So many more bytes of rows were read, whether or not they will be in the answer; false: read no more. */
  read(bytes: number): boolean {
    this.#readBytes += bytes;
    if (this.#readBytes > LIMITS.answerReadBytes)
      this.#exceed('read', `The rows behind the answer have more than ${LIMITS.answerReadBytes} bytes: ask for smaller pages (\`first\`).`);
    else if (this.#uncharged > CHARGE_BYTES) this.#charge();
    return this.#problem === undefined;
  }

  /**
   * Before one more list is searched or counted.
   * @throws HubError where the operation has looked at as many rows as it may
   */
  startSearch(): void {
    if (this.searchableRows(0) <= 0)
      this.#exceed(
        'searched',
        `The filters and counts of the operation have looked at more than ${LIMITS.answerSearchedRows} rows: ask for fewer lists at once, or narrow them (\`createdAfter\`, \`minSequence\`).`,
      );
    if (this.#problem) throw this.#problem;
  }

  /** How many more rows a search may look at that has looked at so many, beside the others of the operation. */
  searchableRows(looked: number): number {
    return Math.min(LIMITS.pageSearchedRows - looked, LIMITS.answerSearchedRows - this.#searchedRows);
  }

  /** So many rows were looked at for a filter or a count. */
  searched(rows: number): void {
    this.#searchedRows += rows;
  }

  /** What a field that cannot be answered throws; undefined: it is null, there were enough errors. */
  refusal(): HubError | undefined {
    return this.#refusals++ < MAX_REFUSALS ? this.#problem : undefined;
  }

  /** The entries of a list, as GraphQL goes through them: those that would hold the event loop for too long come later. */
  sliced<T>(entries: readonly T[]): Iterable<T | Promise<T>> {
    return entries.length < LEAST_SLICED ? entries : this.#slices(entries);
  }

  /**
   * Before a field is made of what was read for many at once, as much work as so many plain fields: resolves in another turn
   * of the event loop where this one had enough.
   */
  async turn(fields: number): Promise<void> {
    if (this.#isSliceOver) await this.#later(undefined);
    this.#sliceFields += fields;
  }

  /** Reads of the database, a few at a time. Once the budget is passed none begins, and those that wait are refused. */
  reading<T>(read: () => Promise<T>): Promise<T> {
    return this.#reads.run(() => (this.#problem ? Promise.reject(this.#problem) : read()));
  }

  /** The same for a text that may be large. */
  async readingText(read: () => Promise<string | null>): Promise<string | null> {
    const text = await this.reading(read);
    this.read(text?.length ?? 0);
    return text;
  }

  *#slices<T>(entries: readonly T[]): Generator<T | Promise<T>> {
    for (const entry of entries) {
      if (this.#problem && !this.isMutation) return;
      yield this.#isSliceOver ? this.#later(entry) : entry;
    }
  }

  get #isSliceOver(): boolean {
    return this.#sliceFields > SLICE_FIELDS || this.#sliceBytes > SLICE_BYTES;
  }

  #later<T>(entry: T): Promise<T> {
    return new Promise((resolve) => {
      this.#forLater.push(() => resolve(entry));
      if (this.#forLater.length === 1) void this.#goOn();
    });
  }

  async #goOn(): Promise<void> {
    for (let next = 0; next < this.#forLater.length; ) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      this.#sliceFields = 0;
      this.#sliceBytes = 0;
      while (next < this.#forLater.length && !this.#isSliceOver && (this.#problem === undefined || this.isMutation)) {
        this.#forLater[next++]?.();
        await undefined; // GraphQL completes the entry now
      }
      if (this.#problem && !this.isMutation) break;
    }
    this.#forLater.length = 0;
  }

  get #uncharged(): number {
    return this.#problem && !this.isMutation ? 0 : this.#bytes - this.#chargedBytes + this.#readBytes - this.#chargedReadBytes;
  }

  #charge(): void {
    try {
      this.#options.unsent.take(this.#bytes - this.#chargedBytes, this.#readBytes - this.#chargedReadBytes);
    } catch (error) {
      this.#exceed('unsent', error as HubError);
    }
    this.#chargedBytes = this.#bytes;
    this.#chargedReadBytes = this.#readBytes;
  }

  #exceedBytes(): void {
    const { answerBytes } = LIMITS;
    this.#exceed(
      'bytes',
      `The answer has more than ${answerBytes} bytes: ask for smaller pages (\`first\`), or for fewer large fields at once.`,
    );
  }

  #exceed(reason: Reason, why: string | HubError): void {
    if (this.#problem) return;
    const { isMutation, exceeded } = this.#options;
    const { code, message, retryAfterSeconds } = typeof why === 'string' ? new HubError('BAD_USER_INPUT', why) : why;
    const hint = isMutation ? ' What the mutation did before stands: read the rest with a query.' : '';
    this.#problem = new HubError(code, message + hint, retryAfterSeconds);
    if (!isMutation) this.#options.unsent.release();
    exceeded(reason);
    this.#end?.(this.#problem);
  }
}

const namesOf = new WeakMap<DocumentNode, ReadonlySet<string>>();

function fieldNamesOf(document: DocumentNode): ReadonlySet<string> {
  const known = namesOf.get(document);
  if (known) return known;
  const names = new Set<string>();
  visit(document, { enter: (node) => (node.kind === Kind.FIELD ? void names.add(node.name.value) : undefined) });
  namesOf.set(document, names);
  return names;
}
