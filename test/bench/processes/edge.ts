import 'reflect-metadata';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CrossOrigin } from '../../../src/api/cross-origin';
import { KeyLimits } from '../../../src/api/key-limits';
import { createSchema } from '../../../src/api/schema';
import { ApiServer } from '../../../src/api/server';
import type { Services } from '../../../src/api/services';
import { Unsent } from '../../../src/api/unsent';
import { ApiKeys } from '../../../src/applications/api-keys';
import { Applications } from '../../../src/applications/applications';
import { systemClock } from '../../../src/clock';
import { readConfig } from '../../../src/config';
import { createDatabase } from '../../../src/data-source';
import type { NewEvent } from '../../../src/events/append';
import { Event } from '../../../src/events/event';
import { EventTypes } from '../../../src/events/event-types';
import type { GroupCommitter } from '../../../src/events/group-committer';
import { Publisher } from '../../../src/events/publisher';
import { SchemaValidator } from '../../../src/events/schema-validator';
import { Facts } from '../../../src/facts';
import { newEventId } from '../../../src/ids';
import { silentLog } from '../../../src/log';
import { Slices } from '../../../src/slices';
import { answerQuestions } from '../helper';

export type Edge = typeof questions;

let sequence = 0;

/** An event as it would be after the commit. */
function unstored(applicationId: string, { type, payloadText, idempotencyKey, orderingKey }: NewEvent): Event {
  const now = new Date();
  sequence++;
  return Object.assign(new Event(), {
    applicationId,
    sequence,
    id: newEventId(applicationId, sequence),
    type,
    payloadText,
    idempotencyKey,
    orderingKey,
    occurredAt: now,
    createdAt: now,
    redactedAt: null,
  });
}

const NO_WEBHOOKS = { version: 1, receiving: [], byId: new Map() };

const questions = {
  /** The hub's own server, keys and checks, with an `append` that stores nothing. */
  async start(): Promise<{ url: string; key: string }> {
    const folder = mkdtempSync(join(tmpdir(), 'livehook-edge-'));
    process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
    const database = createDatabase({ kind: 'sqlite', path: join(folder, 'keys.db') }, silentLog);
    await database.open();
    await database.migrate();
    const stage = { database, clock: systemClock, log: silentLog, facts: new Facts() };
    const apiKeys = new ApiKeys(stage);
    const application = await new Applications(stage).create({ name: 'bench' });
    const { token } = await apiKeys.create({ applicationId: application.id });
    // What `eventPublish` does not use is not there.
    const config = readConfig({});
    const slices = new Slices();
    const eventTypes = new EventTypes({
      ...stage,
      schemas: new SchemaValidator(stage),
      webhooks: { know: async () => NO_WEBHOOKS },
      seen: { flush: async () => {} },
    });
    const appender: Pick<GroupCommitter, 'append'> = {
      append: async ({ applicationId, events }) => events.map((event) => ({ event: unstored(applicationId, event), deduplicated: false })),
    };
    const services: Partial<Services> = {
      apiKeys,
      keyLimits: new KeyLimits(systemClock, config),
      audit: { done: async () => {}, read: () => {}, published: () => {} },
      unsent: new Unsent(config.unsentBytes),
      budgetExceeded: () => {},
      clock: systemClock,
      slices,
      publisher: new Publisher({ clock: systemClock, slices, eventTypes, appender }),
    };
    const server = new ApiServer({
      services: services as Services,
      log: silentLog,
      mostConnections: config.connections,
      trustedProxies: [],
      introspection: 'true',
      crossOrigin: new CrossOrigin({ origins: undefined, publicUrl: undefined }),
      readiness: async () => ({ isReady: true, database: 'reachable', migrations: 'applied', secretKey: 'fitting' }),
      metrics: undefined,
      isSecure: false,
    });
    return { url: await server.start(createSchema(), '127.0.0.1', 0), key: token };
  },
};

answerQuestions(questions);
