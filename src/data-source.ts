import type { DataSourceOptions } from 'typeorm';
import { migrations } from '../migrations/list';
import { ApiKey } from './applications/api-key';
import { Application } from './applications/application';
import { Attempt } from './attempts/attempt';
import { type Clock, systemClock } from './clock';
import type { DatabaseUrl } from './config';
import { Delivery } from './deliveries/delivery';
import { Event } from './events/event';
import { EventType } from './events/event-type-record';
import type { Log } from './log';
import { RetryJob } from './replay/retry-job';
import { connectionOptions, type Records } from './store/connections';
import { Database } from './store/database';
import type { Patience } from './store/mysql-pool';
import { Webhook } from './webhooks/webhook';
import { WebhookSecret } from './webhooks/webhook-secret';

const RECORDS: Records = {
  entities: [Application, ApiKey, Webhook, WebhookSecret, EventType, Event, Delivery, Attempt, RetryJob],
  migrations,
};

/** TypeORM's settings for a database URL. On SQLite `reader` is a connection that can only read. */
export function dataSourceOptions(url: DatabaseUrl, role: 'writer' | 'reader'): DataSourceOptions {
  return connectionOptions(url, role, RECORDS);
}

interface Around {
  readonly clock?: Clock;
  readonly patience?: Patience;
}

/** A database with all that the hub stores in it. */
export function createDatabase(url: DatabaseUrl, log: Log, { clock = systemClock, patience }: Around = {}): Database {
  return new Database({ url, log, clock, records: RECORDS, ...(patience && { patience }) });
}
