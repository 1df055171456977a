import type { Clock } from '../clock';
import { InputRefused, Problems, refuse, shown, UserErrorCode } from '../errors';
import type { Slices } from '../slices';
import type { AppendedEvent, NewEvent } from './append';
import type { EventTypes } from './event-types';
import { type GroupCommitter, PartlyStored } from './group-committer';
import { checkEvent, checkType, type EventInput, MAX_EVENTS_PER_PUBLISH } from './publish';
import { CheckAllowance } from './schema-pool';

interface Deps {
  readonly clock: Clock;
  readonly slices: Pick<Slices, 'isOver' | 'next'>;
  readonly eventTypes: Pick<EventTypes, 'find'>;
  readonly appender: Pick<GroupCommitter, 'append'>;
}

/** For whom events are published, and what brought it about. */
export interface Publishing {
  readonly applicationId: string;
  readonly traceContext: string | null;
}

/** An event of a batch as its publisher gives it. */
export interface BatchedEvent extends EventInput {
  /** That of the batch, or none. */
  readonly applicationId?: string | null;
}

/** What became of an event of a batch. */
export type Published = AppendedEvent | InputRefused;

/** How long the events of one batch are checked before others have their turn. */
const MAX_TURN_MS = 10;

const NOT_STORED = 'the hub could not store it, those before it are stored: publish it again';

/** Checks events that somebody publishes, against their types as well, and has them stored. */
export class Publisher {
  readonly #deps: Deps;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** @throws InputRefused */
  async publish({ applicationId, traceContext }: Publishing, input: EventInput): Promise<AppendedEvent | undefined> {
    const problems = new Problems();
    const event = checkEvent(input, problems);
    await this.#checkType(applicationId, input, event, { problems });
    problems.throwIfAny();
    const [appended] = await this.#deps.appender.append({ applicationId, events: [event], traceContext });
    return appended;
  }

  /**
   * Each event on its own merit: a wrong one leaves its neighbours alone. Answers in the order of the input.
   * @throws InputRefused when there are none or too many
   */
  async publishAll({ applicationId, traceContext }: Publishing, inputs: readonly BatchedEvent[]): Promise<readonly Published[]> {
    refuseLength(inputs.length);
    const checked = await this.#checkAll(applicationId, inputs);
    const events = checked.filter((each): each is NewEvent => !(each instanceof InputRefused));
    if (events.length === 0) return checked as InputRefused[];
    const appended = await this.#deps.appender.append({ applicationId, events, traceContext }).catch(storedOf);
    let place = 0;
    return checked.map((each, index) => (each instanceof InputRefused ? each : (appended[place++] ?? notStored(index))));
  }

  async #checkAll(applicationId: string, inputs: readonly BatchedEvent[]): Promise<(NewEvent | InputRefused)[]> {
    const { clock, slices } = this.#deps;
    const checked: (NewEvent | InputRefused)[] = [];
    const allowance = new CheckAllowance();
    let turnBeganAt = clock.monotonic();
    let chars = 0;
    for (const [index, input] of inputs.entries()) {
      if (slices.isOver(chars) || clock.monotonic() - turnBeganAt > MAX_TURN_MS) {
        await slices.next(applicationId);
        turnBeganAt = clock.monotonic();
      }
      const problems = new Problems();
      const path = ['events', String(index)];
      const event = checkEvent(input, problems, path);
      chars = event.payloadText.length;
      if (input.applicationId && input.applicationId !== applicationId)
        problems.add([...path, 'applicationId'], `expected the application of the batch, or none; got ${shown(input.applicationId)}`);
      await this.#checkType(applicationId, input, event, { problems, path, allowance });
      checked.push(problems.found.length > 0 ? new InputRefused(problems.found) : event);
    }
    return checked;
  }

  /** Only where nothing else is wrong with it. */
  async #checkType(applicationId: string, input: EventInput, event: NewEvent, { problems, ...how }: Checking): Promise<void> {
    if (problems.found.length > 0) return;
    const known = await this.#deps.eventTypes.find(applicationId, input.type);
    await checkType(input, event, known, problems, how);
  }
}

interface Checking {
  readonly problems: Problems;
  readonly path?: readonly string[];
  readonly allowance?: CheckAllowance;
}

function refuseLength(length: number): void {
  if (length >= 1 && length <= MAX_EVENTS_PER_PUBLISH) return;
  refuse(
    'events',
    `expected 1 to ${MAX_EVENTS_PER_PUBLISH} events, got ${length}`,
    length < 1 ? UserErrorCode.REQUIRED : UserErrorCode.TOO_LARGE,
  );
}

function notStored(index: number): InputRefused {
  return new InputRefused([{ field: ['events', String(index)], message: NOT_STORED, code: UserErrorCode.UNAVAILABLE }]);
}

function storedOf(error: unknown): readonly AppendedEvent[] {
  if (error instanceof PartlyStored) return error.answers;
  throw error;
}
