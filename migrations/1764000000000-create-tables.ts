import { type MigrationInterface, type QueryRunner, Table, type TableColumnOptions, type TableIndexOptions } from 'typeorm';
import { columnsFor, NULLABLE, PRIMARY } from './columns';

/*
 * Every key below an application begins with it: appending is sequential per application, a page of a list is a range.
 * InnoDB clusters rows by their primary key always, SQLite by WITHOUT ROWID. That suits small rows only: with payloads
 * in the key's own tree, 20,000 attempts of 1 KB took 2.2 s to insert instead of 0.6, and three times the room.
 */
export class CreateTables1764000000000 implements MigrationInterface {
  readonly name = 'CreateTables1764000000000';

  async up(runner: QueryRunner): Promise<void> {
    const { id, text, longText, number, small } = columnsFor(runner);
    const table =
      (withoutRowid: boolean) =>
      (name: string, columns: TableColumnOptions[], indices: TableIndexOptions[] = []) =>
        runner.createTable(new Table({ name, columns, indices, withoutRowid, engine: 'InnoDB' }));
    const create = table(true);
    const createWithLongRows = table(false);

    await createWithLongRows(
      'applications',
      [
        id('id', PRIMARY),
        text('unique_key', 255, NULLABLE),
        text('name', 255),
        longText('metadata', NULLABLE),
        small('retention_days', NULLABLE),
        number('created_at'),
        number('updated_at'),
        number('deleted_at', NULLABLE),
      ],
      [{ name: 'applications_by_key', columnNames: ['unique_key'], isUnique: true }],
    );

    // One row an application and log. The event row is what an append takes first, so lock order is commit order is
    // sequence order; `version` beside it counts changes of the webhooks, so an append always matches against the
    // current ones. Delivery updates have a row of their own: settling must not wait for appending.
    await create('counters', [id('application_id', PRIMARY), id('log', PRIMARY), number('last_sequence'), number('version')]);

    await create(
      'api_keys',
      [
        id('id', PRIMARY),
        id('application_id', NULLABLE),
        text('name', 255),
        id('token_hash', { length: '64' }),
        id('hint'),
        longText('scopes'),
        number('created_at'),
        number('expires_at', NULLABLE),
        number('revoked_at', NULLABLE),
        id('origin'),
      ],
      [
        { name: 'api_keys_by_token', columnNames: ['token_hash'], isUnique: true },
        { name: 'api_keys_by_application', columnNames: ['application_id'] },
      ],
    );

    await createWithLongRows('webhooks', [
      id('id', PRIMARY),
      id('application_id'),
      text('url', 2048),
      longText('description', NULLABLE),
      longText('event_types'),
      longText('headers'),
      longText('retry_schedule', NULLABLE),
      small('timeout_seconds'),
      small('max_concurrency'),
      id('ordering'),
      { name: 'rate_per_second', type: 'double', isNullable: true },
      longText('filter', NULLABLE),
      longText('payload_query', NULLABLE),
      longText('signing'),
      id('format'),
      id('verification'),
      small('allowed_rate', NULLABLE),
      id('secret_hint'),
      text('public_key', 64, NULLABLE),
      id('status'),
      small('version'),
      number('created_at'),
      number('updated_at'),
      number('deleted_at', NULLABLE),
    ]);

    // A webhook has several while it changes from one to the next.
    await create(
      'webhook_secrets',
      [id('id', PRIMARY), id('webhook_id'), id('scheme'), longText('sealed'), number('created_at'), number('expires_at', NULLABLE)],
      [{ name: 'webhook_secrets_by_webhook', columnNames: ['webhook_id'] }],
    );

    // Only of webhooks that fail or were disabled: turning is rare, and must not touch the webhook's own row.
    await createWithLongRows('webhook_health', [
      id('webhook_id', PRIMARY),
      number('failing_since'),
      small('circuit_open'),
      longText('reason'),
      number('disabled_at', NULLABLE),
    ]);

    // A row belongs to one instance, which replaces it as it counts; reading adds them up.
    await createWithLongRows(
      'webhook_stats',
      [
        id('webhook_id', PRIMARY),
        number('started_at', PRIMARY),
        id('instance_id', PRIMARY),
        number('succeeded'),
        number('failed'),
        longText('histogram'),
      ],
      [{ name: 'webhook_stats_by_time', columnNames: ['started_at'] }],
    );

    await create('event_types', [
      id('application_id', PRIMARY),
      id('name', { ...PRIMARY, length: '255' }),
      longText('description', NULLABLE),
      longText('payload_schema', NULLABLE),
      number('created_at'),
      number('updated_at'),
      number('archived_at', NULLABLE),
    ]);

    await createWithLongRows(
      'events',
      [
        id('application_id', PRIMARY),
        number('sequence', PRIMARY),
        id('id'),
        id('type', { length: '255' }),
        longText('payload'),
        text('idempotency_key', 255, NULLABLE),
        text('ordering_key', 255, NULLABLE),
        number('occurred_at'),
        number('created_at'),
        number('redacted_at', NULLABLE),
      ],
      [{ name: 'events_by_idempotency_key', columnNames: ['application_id', 'idempotency_key'], isUnique: true }],
    );

    // `owner` and `due_at` are null once a delivery is finished, so that due work is a range of the first index which
    // finished deliveries are no part of.
    await create(
      'deliveries',
      [
        id('id', PRIMARY),
        id('application_id'),
        id('webhook_id'),
        id('event_type', { length: '255' }),
        small('payload_chars'),
        id('status'),
        small('attempt_count'),
        id('owner', NULLABLE),
        number('due_at', NULLABLE),
        id('next_trigger', NULLABLE),
        id('body_key', NULLABLE),
        text('ordering_key', 255, NULLABLE),
        number('created_at'),
        number('completed_at', NULLABLE),
      ],
      [
        { name: 'deliveries_due', columnNames: ['owner', 'webhook_id', 'due_at'] },
        { name: 'deliveries_by_webhook', columnNames: ['webhook_id', 'id'] },
        { name: 'deliveries_by_status', columnNames: ['application_id', 'status', 'id'] },
      ],
    );

    await createWithLongRows('attempts', [
      id('id', { ...PRIMARY, length: '64' }),
      id('triggered_by'),
      number('started_at'),
      small('duration_ms'),
      id('outcome'),
      small('status_code', NULLABLE),
      longText('error', NULLABLE),
      longText('url'),
      longText('request_headers'),
      longText('response_headers'),
      longText('response_body', NULLABLE),
      small('response_truncated'),
      text('phases', 255, NULLABLE),
    ]);

    // Bodies that a payload query or a format made: fixed at the first attempt, shared by the webhooks that send the same.
    await createWithLongRows('bodies', [
      id('application_id', PRIMARY),
      number('sequence', PRIMARY),
      id('body_key', PRIMARY),
      longText('body'),
    ]);

    // The log of delivery updates: a row holds all updates of one application in one transaction, so that watching
    // costs a row a batch and not a row a delivery.
    await createWithLongRows('delivery_updates', [
      id('application_id', PRIMARY),
      number('last_sequence', PRIMARY),
      number('first_sequence'),
      longText('updates'),
      number('created_at'),
    ]);

    // Which instance sends an ordered webhook's deliveries; no row: none does at the moment.
    await create('webhook_owners', [id('webhook_id', PRIMARY), id('owner')], [{ name: 'webhook_owners_by_owner', columnNames: ['owner'] }]);

    // `worker` takes the job's steps until `worker_until`; `scan_cursor` is null once everything to be done is planned.
    await createWithLongRows(
      'retry_jobs',
      [
        id('id', PRIMARY),
        id('application_id'),
        id('kind'),
        id('status'),
        longText('selection'),
        id('scan_cursor', NULLABLE),
        number('planned'),
        number('total'),
        number('done'),
        number('failed'),
        small('version'),
        id('worker'),
        number('worker_until'),
        number('created_at'),
        number('completed_at', NULLABLE),
      ],
      [{ name: 'retry_jobs_by_completion', columnNames: ['completed_at', 'id'] }],
    );

    // What a job has still to do, webhook by webhook: `prior_status` is null until the delivery is handed out, and then
    // what it goes back to with the two times behind it, should the job be cancelled before it is sent.
    await create('retry_job_items', [
      id('job_id', PRIMARY),
      id('webhook_id', PRIMARY),
      id('delivery_id', PRIMARY),
      small('attempt_count', NULLABLE),
      id('prior_status', NULLABLE),
      number('prior_due_at', NULLABLE),
      number('prior_completed_at', NULLABLE),
    ]);

    // Tells the other instances which events to forget from memory: a short list, read every half second.
    await create(
      'redactions',
      [id('application_id', PRIMARY), number('sequence', PRIMARY), number('redacted_at')],
      [{ name: 'redactions_by_time', columnNames: ['redacted_at'] }],
    );

    await create('instances', [id('id', PRIMARY), text('host', 255), number('pid'), number('started_at'), number('heartbeat_at')]);
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const table of [
      'instances',
      'webhook_owners',
      'retry_job_items',
      'retry_jobs',
      'redactions',
      'delivery_updates',
      'bodies',
      'attempts',
      'deliveries',
      'events',
      'event_types',
      'webhook_stats',
      'webhook_health',
      'webhook_secrets',
      'webhooks',
      'api_keys',
      'counters',
      'applications',
    ])
      await runner.dropTable(table);
  }
}
