import type { IncomingMessage } from 'node:http';
import { CloseCode } from 'graphql-ws';
import type { WebSocket } from 'ws';
import type { Caller } from '../applications/api-keys';
import { type Cancel, type Clock, SECOND } from '../clock';
import { HubError } from '../errors';
import { JsonRefused } from '../json-source';
import type { Log } from '../log';
import { Semaphore } from '../semaphore';
import type { Slices } from '../slices';
import type { Holding, Intake } from './intake';
import { LIMITS } from './limits';
import { readJson } from './request-body';
import type { Results } from './shared-results';
import { textFrame } from './text-frame';
import type { Unsent, UnsentAnswer } from './unsent';

export interface WsDeps {
  readonly intake: Intake;
  readonly unsent: Unsent;
  readonly slices: Slices;
  readonly clock: Clock;
  readonly log: Log;
}

const CONNECTION_INIT_MS = 10 * SECOND;
const PING_MS = 12 * SECOND;
/** Of pings to an idle socket, or of looks at one whose client takes nothing: about two minutes. */
const MAX_UNANSWERED = 10;
/** Bytes that may wait for a client to read; beyond it the hub does not read either what the client asks for next. */
const MAX_UNSENT_BYTES = 1024 * 1024;

const MAX_REASON_BYTES = 123;
/** For an ellipsis, and for the mark that stands for a character which was cut. */
const CUT_REASON_BYTES = 6;

const GOING_AWAY = 1001;
const MESSAGE_TOO_BIG = 1009;
const INTERNAL_ERROR = 1011;
const TRY_AGAIN_LATER = 1013;

/** What graphql-ws calls for each message: it takes them parsed as well. */
type Listener = (data: string) => Promise<void>;

const VARIABLES_AT = ['payload', 'variables'];

/** One socket: what graphql-ws needs of it, whose it is, and whether anybody is there. */
export class WsConnection {
  readonly request: IncomingMessage;
  /** Who sent a valid key, once `connection_init` came. */
  caller: Caller | null = null;
  readonly #client: WebSocket;
  readonly #deps: WsDeps;
  /** Results over time, by the payload that asked for them. */
  readonly #streams = new Map<object, AsyncIterator<unknown>>();
  readonly #cancelInit: Cancel;
  #cancelPing: Cancel = () => {};
  #stopWatching: () => void = () => {};
  /** Of a message that is still arriving. */
  #arriving: Holding;
  #running = 0;
  #unanswered = 0;
  #bytesTaken = 0;
  /** A stream makes its messages: one at a time, so that a thousand of them hold no more than one. */
  readonly #making = new Semaphore(1);
  /** Until the socket has taken what it has: for all who wait for that. */
  #draining: Promise<void> | undefined;
  /** What the message that graphql-ws is reading holds of the intake. */
  #reading: Holding | undefined;
  /** While a large message is parsed: those that came after it have to wait. */
  #parsing: Promise<unknown> | undefined;

  constructor(client: WebSocket, request: IncomingMessage, deps: WsDeps) {
    this.#client = client;
    this.request = request;
    this.#deps = deps;
    this.#cancelInit = deps.clock.after(CONNECTION_INIT_MS, () =>
      this.#close(CloseCode.ConnectionInitialisationTimeout, 'Connection initialisation timeout'),
    );
    this.#arriving = deps.intake.hold(null);
    this.#arriving.evicted = () => this.terminate();
    request.socket.prependListener('data', (chunk: Buffer) => this.#arrived(chunk.length)); // before ws makes messages of it
    client.on('error', () => {}); // too large, not UTF-8, cut off: ws closes it with the code for that
    client.on('pong', () => {
      this.#unanswered = 0;
    });
    this.#pingLater();
  }

  get protocol(): string {
    return this.#client.protocol;
  }

  get unsentBytes(): number {
    return this.#client.bufferedAmount;
  }

  /** Messages under way: a subscription is, as long as it runs. */
  get running(): number {
    return this.#running;
  }

  get isOpen(): boolean {
    return this.#client.readyState === this.#client.OPEN;
  }

  /** `connection_init` came in time. */
  initialised(): void {
    this.#cancelInit();
  }

  /** Lets `caller` use this socket as long as `watch` does not call back. */
  admit(caller: Caller, watch: (caller: Caller, ended: () => void) => () => void): void {
    this.caller = caller;
    this.#arriving.evicted = undefined;
    this.#arriving.release();
    this.#arriving = this.#deps.intake.hold(caller);
    this.#stopWatching = watch(caller, () => this.#close(CloseCode.Unauthorized, 'The key has ended'));
    if (!this.isOpen) this.#stopWatching();
  }

  /** Resolves when the socket has taken the message, or is closed: one that has left misses nothing. */
  readonly send = (data: string): Promise<void> =>
    new Promise((resolve) => {
      if (!this.isOpen) return resolve();
      this.#client.send(data, () => {
        if (this.#client.isPaused && this.unsentBytes < MAX_UNSENT_BYTES) this.#client.resume();
        resolve();
      });
      if (this.unsentBytes > MAX_UNSENT_BYTES) this.#client.pause();
    });

  /** Sends the one result of an operation. Resolves when the socket has taken it, or is closed. */
  async answer(id: string, text: Buffer, unsent: UnsentAnswer): Promise<void> {
    if (this.isOpen) {
      unsent.made(text.length);
      await this.#sendTogether([nextFrame(headOf(id), text)]).taken;
    }
    unsent.release();
  }

  /**
   * Sends results itself, those that are there together in one write; to graphql-ws it looks like a stream that ends
   * without any. Its own way is a promise and a message of its own for each.
   */
  pump(id: string, results: Results): AsyncIterableIterator<never> {
    const head = headOf(id);
    const unsent = this.#deps.unsent.open(this, this.caller);
    let hasTurn = false;
    const roomFor = (bytes: number): Promise<void> | undefined => {
      if (!this.isOpen) void results.return(); // nobody is there to send it to
      const turn = hasTurn ? undefined : this.#making.take();
      hasTurn = true;
      return turn ?? this.#room(bytes);
    };
    const sendSome = async (): Promise<boolean> => {
      try {
        const texts = await results.take(roomFor);
        if (texts.length === 0 || !this.isOpen) {
          this.#deps.unsent.wake();
          return false;
        }
        const frames = texts.map((text) => nextFrame(head, text));
        const { isTaken, taken } = this.#sendTogether(frames);
        if (isTaken) return true;
        unsent.made(frames.reduce((sum, frame) => sum + frame.length, 0));
        await taken;
        return true;
      } finally {
        unsent.release();
        if (hasTurn) this.#making.release();
        hasTurn = false;
      }
    };
    const stream: AsyncIterableIterator<never> = {
      next: async () => {
        while (await sendSome());
        // graphql-ws takes it for complete, and has it forgotten: one that was made for a socket on its way to be closed, too.
        await results.return();
        return { done: true, value: undefined };
      },
      return: async () => {
        await results.return();
        return { done: true, value: undefined };
      },
      [Symbol.asyncIterator]: () => stream,
    };
    return stream;
  }

  #room(bytes: number): Promise<void> | undefined {
    if (!this.isOpen) return undefined;
    return this.request.socket.writableNeedDrain ? this.#drained() : this.#deps.unsent.room(this, this.caller, bytes);
  }

  /** Straight to the socket, past ws, which takes two writes a frame. Not `isTaken`: wait until it is. */
  #sendTogether(frames: readonly Buffer[]): { readonly isTaken: boolean; readonly taken: Promise<void> } {
    const [only] = frames;
    const isTaken = this.request.socket.write(frames.length === 1 && only ? only : Buffer.concat(frames));
    if (this.unsentBytes > MAX_UNSENT_BYTES) this.#client.pause();
    return { isTaken, taken: isTaken ? TAKEN : this.#drained() };
  }

  /** Resolves when the socket has taken everything, or is closed. */
  #drained(): Promise<void> {
    this.#draining ??= this.#drain().finally(() => {
      this.#draining = undefined;
    });
    return this.#draining;
  }

  #drain(): Promise<void> {
    const { socket } = this.request;
    return new Promise((resolve) => {
      const done = () => {
        socket.off('drain', done);
        socket.off('close', done);
        if (this.#client.isPaused && this.unsentBytes < MAX_UNSENT_BYTES) this.#client.resume();
        resolve();
      };
      if (socket.destroyed || !socket.writableNeedDrain) return done();
      socket.on('drain', done);
      socket.on('close', done);
    });
  }

  readonly close = (code?: number, reason?: string): void => this.#close(code, reason);

  readonly onMessage = (listener: Listener): void => {
    this.#client.on('message', (data) => {
      this.#arriving.release();
      if (!this.isOpen) return; // ws reads on until the client's close comes
      void this.#receive(listener, data.toString());
    });
  };

  /**
   * The message that is being read asks for a subscription: it holds nothing of the intake as long as that runs, but memory.
   * @throws HubError RATE_LIMITED
   */
  keepMessage(document: object, documentChars: number): void {
    this.#reading?.keepForSubscription(document, documentChars);
  }

  track(payload: object, results: AsyncIterator<unknown>): void {
    this.#streams.set(payload, results);
  }

  untrack(payload: object): void {
    this.#streams.delete(payload);
  }

  /** The socket is closed. */
  closed(): void {
    this.#cancelInit();
    this.#cancelPing();
    this.#stopWatching();
    this.#arriving.release();
    this.#endStreams();
    this.#deps.unsent.leave(this);
  }

  /** Ends what runs, that of an id which was used twice included: graphql-ws knows the last of them only. */
  #endStreams(): void {
    for (const results of this.#streams.values()) void results.return?.();
    this.#streams.clear();
  }

  /** There are too many connections; a client comes back later. */
  refuse(): void {
    this.#close(TRY_AGAIN_LATER, 'Too many connections');
  }

  goAway(): void {
    this.#close(GOING_AWAY, 'Going away');
  }

  terminate(): void {
    this.#client.terminate();
  }

  #close(code?: number, reason?: string): void {
    this.#endStreams();
    if (this.#client.isPaused) this.#client.resume(); // or the client's own close would never be read
    this.#client.close(code, reason && fitted(reason));
  }

  #arrived(bytes: number): void {
    if (!this.isOpen) return;
    try {
      this.#arriving.take(bytes);
      if (this.caller === null && this.#arriving.bytes > LIMITS.unauthenticatedRequestBytes)
        this.#close(MESSAGE_TOO_BIG, 'No valid key came so far');
    } catch (error) {
      this.#fail(error);
    }
  }

  async #receive(listener: Listener, message: string): Promise<void> {
    const holding = this.#deps.intake.hold(this.caller);
    this.#running++;
    try {
      holding.take(message.length);
      const reading = this.#parse(message);
      const parsed = reading instanceof Promise ? await reading : reading;
      if (!this.isOpen) return;
      this.#reading = holding;
      const read = listener(parsed as string);
      this.#reading = undefined;
      await read;
    } catch (error) {
      if (error instanceof JsonRefused) this.#refuseUnread(message, error.message);
      else if (error instanceof SyntaxError) this.#close(CloseCode.BadRequest, 'Invalid message received');
      else this.#fail(error);
    } finally {
      this.#running--;
      holding.release();
    }
  }

  /** In the order in which they came: a `complete` must not overtake its `subscribe`. */
  #parse(message: string): unknown {
    const { slices } = this.#deps;
    const parse = () => readJson(message, VARIABLES_AT, { slices, caller: this.caller });
    const parsed = this.#parsing ? this.#parsing.then(parse, parse) : parse();
    if (!(parsed instanceof Promise)) return parsed;
    const isLast = () => this.#parsing === parsed;
    this.#parsing = parsed;
    parsed
      .finally(() => {
        if (isLast()) this.#parsing = undefined;
      })
      .catch(() => {}); // whoever asked has it
    return parsed;
  }

  #fail(error: unknown): void {
    if (!this.isOpen) return; // what could not be sent any more
    if (error instanceof HubError && error.code === 'FORBIDDEN') this.#close(CloseCode.Forbidden, error.message);
    else if (error instanceof HubError) this.#close(TRY_AGAIN_LATER, error.code);
    else if (isServersMessage(error)) this.#close(CloseCode.BadRequest, 'Invalid message received');
    else {
      this.#deps.log.error({ error: (error as Error).stack }, 'socket.fault');
      this.#close(INTERNAL_ERROR, 'Internal error');
    }
  }

  /** A message that was not even read: the fault of one operation, where it says of which. */
  #refuseUnread(message: string, why: string): void {
    const id = /^\{[^{}[\]]*?"id"\s*:\s*"([^"\\]{1,255})"/.exec(message.slice(0, 1_000))?.[1];
    if (id === undefined || this.caller === null) this.#close(CloseCode.BadRequest, 'Invalid message received');
    else this.#refuse(id, why);
  }

  #refuse(id: string, message: string): void {
    const refusal = { id, type: 'error', payload: [{ message, extensions: { code: 'BAD_REQUEST' } }] };
    void this.send(JSON.stringify(refusal));
  }

  #pingLater(): void {
    this.#cancelPing = this.#deps.clock.after(PING_MS, () => {
      this.#ping();
      this.#pingLater();
    });
  }

  /** To a socket whose client reads slowly a ping would only queue up: what it takes meanwhile says enough. */
  #ping(): void {
    if (this.#takenBytes() !== this.#bytesTaken) this.#unanswered = 0;
    if (this.#unanswered++ >= MAX_UNANSWERED) this.terminate();
    else if (this.isOpen && this.unsentBytes === 0) this.#client.ping();
    this.#bytesTaken = this.#takenBytes();
  }

  #takenBytes(): number {
    return this.request.socket.bytesWritten - this.unsentBytes;
  }
}

const END = Buffer.from('}');
const TAKEN = Promise.resolve();

function headOf(id: string): Buffer {
  return Buffer.from(`{"id":${JSON.stringify(id)},"type":"next","payload":`);
}

function nextFrame(head: Buffer, text: Buffer): Buffer {
  return textFrame([head, text, END]);
}

/** How graphql-ws says that a client sent what only servers send, like `next`. */
function isServersMessage(error: unknown): boolean {
  return (error as Error).message.startsWith('Unexpected message of type');
}

/** A close frame has room for 123 bytes, and a reason may quote the id of an operation. */
function fitted(reason: string): string {
  const bytes = Buffer.from(reason);
  return bytes.length <= MAX_REASON_BYTES ? reason : `${bytes.subarray(0, MAX_REASON_BYTES - CUT_REASON_BYTES)}…`;
}
