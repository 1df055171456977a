import type { Core } from '../core';
import type { WebhookCache } from '../webhooks/webhook-cache';
import { EventTypes } from './event-types';
import { Events } from './events';
import { OperationalEvents } from './operational-events';
import { Redactions } from './redactions';
import { SchemaValidator } from './schema-validator';
import { SeenTypes } from './seen-types';

interface Deps extends Core {
  readonly cache: WebhookCache;
}

/** The log of events and what is kept beside it: their types, the hub's own events, redactions. */
export class EventStore {
  readonly events: Events;
  readonly types: EventTypes;
  readonly operational: OperationalEvents;
  readonly redactions: Redactions;
  readonly #schemas: SchemaValidator;
  readonly #seen: SeenTypes;

  constructor(deps: Deps) {
    const { database, cache } = deps;
    this.#schemas = new SchemaValidator(deps);
    this.events = new Events(database);
    this.#seen = new SeenTypes(deps);
    this.types = new EventTypes({ ...deps, schemas: this.#schemas, webhooks: cache, seen: this.#seen });
    this.operational = new OperationalEvents({ ...deps, directory: cache });
    this.redactions = new Redactions(deps);
  }

  start(): void {
    this.redactions.start();
  }

  async stop(): Promise<void> {
    await Promise.all([this.redactions.stop(), this.#schemas.stop(), this.#seen.stop()]);
  }
}
