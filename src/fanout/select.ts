import { CHARS_PARSED_PER_UNIT, MAX_UNITS_PER_MATCH, MatchBudget } from '../matching/match-budget';
import type { Slices } from '../slices';
import type { LiveWebhook, Snapshot } from '../webhooks/webhook-cache';
import { isConditional, meetsConditions, takesType } from './wants';

/** An event as it was published. */
export interface Selectable {
  readonly type: string;
  readonly payloadText: string;
}

/** The webhooks of a snapshot that get an event. */
export interface Selection {
  readonly snapshot: Snapshot;
  readonly wanted: readonly LiveWebhook[];
  /** Whether they want it was more than the budget of a match could tell: they don't get it. */
  readonly tooCostly: readonly LiveWebhook[];
}

/**
 * What the conditions of all webhooks of an application may cost for one event: ten of the costliest. After that each
 * has as much as some comparisons take, so that one costly filter is not the end of the others.
 */
const MAX_UNITS_PER_EVENT = 10 * MAX_UNITS_PER_MATCH;
const MIN_UNITS_PER_MATCH = 1_000;
/** Of a type against a pattern. */
const UNITS_PER_PATTERN = 2;
/** Which webhooks take which types is remembered for each version of an application's webhooks, up to so many entries. */
const MAX_REMEMBERED_PER_SNAPSHOT = 200_000;

/** By type alone. */
interface Candidates {
  readonly webhooks: readonly LiveWebhook[];
  /** Where no condition is left to be looked at: all of them. */
  readonly selection: Selection | null;
}

interface Remembered {
  readonly byType: Map<string, Candidates>;
  entries: number;
}

/** Decides which webhooks get an event, in slices where that takes long. */
export class Selector {
  readonly #slices: Slices;
  readonly #remembered = new WeakMap<Snapshot, Remembered>();

  constructor(slices: Slices) {
    this.#slices = slices;
  }

  /** Where no more than the type decides, and one of the type was selected for before: undefined otherwise. */
  known({ type }: Selectable, snapshot: Snapshot): Selection | undefined {
    return this.#remembered.get(snapshot)?.byType.get(type)?.selection ?? undefined;
  }

  /** `earlier`: by another snapshot of the same webhooks; those that have not changed are not asked again. */
  async select(applicationId: string, event: Selectable, snapshot: Snapshot, earlier?: Selection): Promise<Selection> {
    const { webhooks, selection } = await this.#candidates(applicationId, event.type, snapshot);
    if (selection) return selection;
    const answers = answersOf(earlier);
    const matchable = lazily(event);
    const wanted: LiveWebhook[] = [];
    const tooCostly: LiveWebhook[] = [];
    let spent = 0;
    if (this.#slices.isOver(event.payloadText.length / CHARS_PARSED_PER_UNIT)) await this.#slices.next(applicationId);
    for (const webhook of webhooks) {
      let isWanted = answers.get(webhook);
      if (isWanted === undefined) {
        const budget = new MatchBudget(Math.max(MIN_UNITS_PER_MATCH, Math.min(MAX_UNITS_PER_MATCH, MAX_UNITS_PER_EVENT - spent)));
        isWanted = meetsConditions(webhook, matchable, budget);
        spent += budget.spent;
        if (this.#slices.isOver(1 + budget.spent)) await this.#slices.next(applicationId);
      }
      if (isWanted === null) tooCostly.push(webhook);
      else if (isWanted) wanted.push(webhook);
    }
    return { snapshot, wanted, tooCostly };
  }

  async #candidates(applicationId: string, type: string, snapshot: Snapshot): Promise<Candidates> {
    const remembered = this.#remembered.get(snapshot) ?? { byType: new Map<string, Candidates>(), entries: 0 };
    this.#remembered.set(snapshot, remembered);
    const known = remembered.byType.get(type);
    if (known) return known;
    const webhooks: LiveWebhook[] = [];
    for (const webhook of snapshot.receiving) {
      if (takesType(webhook, type)) webhooks.push(webhook);
      if (this.#slices.isOver(UNITS_PER_PATTERN * (webhook.eventTypes.length + (webhook.payloadQuery?.types?.length ?? 0))))
        await this.#slices.next(applicationId);
    }
    const isDecided = !webhooks.some(isConditional);
    const candidates = { webhooks, selection: isDecided ? { snapshot, wanted: webhooks, tooCostly: [] } : null };
    remembered.entries += 1 + webhooks.length;
    if (remembered.entries > MAX_REMEMBERED_PER_SNAPSHOT) {
      remembered.byType.clear();
      remembered.entries = 1 + webhooks.length;
    }
    remembered.byType.set(type, candidates);
    return candidates;
  }
}

type Answer = boolean | null;

function answersOf(earlier: Selection | undefined): ReadonlyMap<LiveWebhook, Answer> {
  const answers = new Map<LiveWebhook, Answer>();
  if (earlier === undefined) return answers;
  for (const webhook of earlier.snapshot.receiving) answers.set(webhook, false);
  for (const webhook of earlier.wanted) answers.set(webhook, true);
  for (const webhook of earlier.tooCostly) answers.set(webhook, null);
  return answers;
}

/** The payload is parsed when the first condition looks at it. */
function lazily({ type, payloadText }: Selectable): { readonly type: string; readonly payload: unknown } {
  let payload: unknown;
  return {
    type,
    get payload() {
      if (payload === undefined) payload = JSON.parse(payloadText);
      return payload;
    },
  };
}
