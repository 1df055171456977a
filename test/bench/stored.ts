import { createConnection } from 'mysql2/promise';
import { payloadText } from './payloads';
import type { BenchApplication } from './rig';

export interface Filling {
  readonly application: BenchApplication;
  /** Each goes to every webhook of the application. */
  readonly events: number;
  /** Delivered at the first attempt over the last eight weeks, or waiting for it since now. */
  readonly state: 'finished' | 'waiting';
}

const EVENTS_PER_STEP = 20_000;
const UPDATES_PER_ROW = 100;
const SPREAD_MS = 56 * 24 * 3600 * 1000;

/** Ids as `src/ids.ts` makes them: base 32, its digits 0 to 9 and a to v, which are CONV's. */
const SEQUENCE = "LPAD(LOWER(CONV(seq, 10, 32)), 11, '0')";
const NONCE = 'SUBSTRING(MD5(seq), 1, 5)';

/** What the hub has of a request to one of the bench's receivers. */
const REQUEST_HEADERS = JSON.stringify(
  Object.entries({
    'content-type': 'application/json',
    'webhook-id': `evt_${'0'.repeat(28)}`,
    'webhook-timestamp': '1764000000',
    'webhook-signature': `v1,${'A'.repeat(43)}=`,
    'livehook-delivery-id': `dlv_${'0'.repeat(31)}`,
    'livehook-attempt': '1',
    'livehook-sequence': '123456',
    'livehook-event-type': 'order.created',
    'user-agent': 'Livehook/0.1.0',
  }).map(([name, value]) => ({ name, value })),
);

/**
 * Writes events with their deliveries, and what comes of those, straight into the tables of MariaDB: in the order of
 * their sequences, as they would have come, so that rows lie as in life. No hub may run. The log of updates has rows of
 * 100 updates that repeat one delivery's. Returns the events' ids.
 */
export async function fill(url: string, { application, events, state }: Filling): Promise<string[]> {
  const connection = await createConnection(url);
  const part = application.id.slice(4);
  const isFinished = state === 'finished';
  const startedAt = Date.now() - (isFinished ? SPREAD_MS : 0);
  const at = `${startedAt} + FLOOR(seq * ${isFinished ? (SPREAD_MS * 0.99) / events : 0})`;
  const payload = payloadText(1);
  try {
    // Durability is the hub's affair, not that of what it finds.
    await connection.query('SET SESSION unique_checks = 0, foreign_key_checks = 0');
    await connection.query('SET GLOBAL innodb_flush_log_at_trx_commit = 0');
    for (let first = 1; first <= events; first += EVENTS_PER_STEP) {
      const from = `seq_${first}_to_${Math.min(first + EVENTS_PER_STEP - 1, events)}`;
      await connection.query(
        `INSERT INTO events (application_id, sequence, id, type, payload, occurred_at, created_at)
           SELECT ?, seq, CONCAT('evt_', ?, ${SEQUENCE}, ${NONCE}), 'order.created', ?, ${at}, ${at} FROM ${from}`,
        [application.id, part, payload],
      );
      const range = [application.id, first, first + EVENTS_PER_STEP - 1];
      const webhookIds = application.webhooks.map(({ id }) => id);
      await connection.query(
        `INSERT INTO deliveries (id, application_id, webhook_id, event_type, payload_chars, status, attempt_count, owner, due_at, body_key, created_at, completed_at)
           SELECT CONCAT('dlv_', SUBSTRING(e.id, 5, 23), SUBSTRING(w.id, 17)), e.application_id, w.id, e.type, CHAR_LENGTH(e.payload),
                  ${isFinished ? "'SUCCEEDED', 1, NULL, NULL, ''" : "'PENDING', 0, '', e.created_at, NULL"}, e.created_at, ${isFinished ? 'e.created_at + 5' : 'NULL'}
             FROM events e JOIN webhooks w ON w.id IN (?)
            WHERE e.application_id = ? AND e.sequence BETWEEN ? AND ? ORDER BY e.sequence, w.id`,
        [webhookIds, ...range],
      );
      if (isFinished)
        await connection.query(
          `INSERT INTO attempts (id, triggered_by, started_at, duration_ms, outcome, status_code, url, request_headers, response_headers, response_body, response_truncated, phases)
             SELECT CONCAT('att_', SUBSTRING(e.id, 5, 23), SUBSTRING(w.id, 17), '0001'), 'FIRST', e.created_at, 5, 'SUCCESS', 200, w.url,
                    ?, '[{"name":"content-length","value":"0"}]', '', 0, '[null,null,null,1]'
               FROM events e JOIN webhooks w ON w.id IN (?)
              WHERE e.application_id = ? AND e.sequence BETWEEN ? AND ? ORDER BY e.sequence, w.id`,
          [REQUEST_HEADERS, webhookIds, ...range],
        );
    }
    const deliveries = events * application.webhooks.length;
    const updates = deliveries * (isFinished ? 2 : 1);
    const update = JSON.stringify([`dlv_${part}${'0'.repeat(19)}`, 'order.created', 'SUCCEEDED', 1, startedAt, startedAt]);
    await connection.query(
      `INSERT INTO delivery_updates (application_id, last_sequence, first_sequence, updates, created_at)
         SELECT ?, seq * ${UPDATES_PER_ROW}, (seq - 1) * ${UPDATES_PER_ROW} + 1, CONCAT('[', REPEAT(CONCAT(?, ','), ${UPDATES_PER_ROW - 1}), ?, ']'),
                ${startedAt} FROM seq_1_to_${Math.floor(updates / UPDATES_PER_ROW)}`,
      [application.id, update, update],
    );
    const setHead = 'UPDATE counters SET last_sequence = ? WHERE application_id = ? AND log = ?';
    await connection.query(setHead, [events, application.id, 'event']);
    await connection.query(setHead, [updates, application.id, 'update']);
    const [rows] = await connection.query('SELECT id FROM events WHERE application_id = ?', [application.id]);
    return (rows as { id: string }[]).map(({ id }) => id);
  } finally {
    await connection.query('SET GLOBAL innodb_flush_log_at_trx_commit = 1');
    await connection.end();
  }
}
