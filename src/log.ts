import pino from 'pino';
import { readableLine } from './readable-line';

/** Every event that the hub logs, by level. README.md in src/observe says of each what it means and what to do. */
export const LOG_EVENTS = {
  debug: [
    'database.not_closed',
    'delivery.attempted',
    'events.refused',
    'request.served',
    'socket.closed',
    'socket.origin_refused',
    'transaction.repeated',
  ],
  info: [
    'application.removed',
    'attempts.settled',
    'database.migrated',
    'doorbell.connected',
    'events.committed',
    'headers.sealed',
    'hub.configured',
    'hub.started',
    'hub.stopped',
    'hub.stopping',
    'process.started',
    'replay.ended',
    'retention.swept',
    'target.unresolved',
    'traces.exported_again',
    'webhook.failing',
    'webhook.recovered',
  ],
  warn: [
    'apollo',
    'audit.not_written',
    'claim.failed',
    'database.file_was_open',
    'database.folder_open_to_all',
    'database.log_not_emptied',
    'database.small_max_allowed_packet',
    'disown.failed',
    'doorbell.away',
    'event_types.seen_not_written',
    'egress_proxy.failed',
    'filter.too_costly',
    'filter_health.not_stored',
    'follow.failed',
    'headers.not_sealed',
    'health.failed',
    'health.not_stored',
    'heartbeat.failed',
    'instance.rescued',
    'key.check_failed',
    'key.last_use_not_written',
    'lease.not_released',
    'lease.regained',
    'log_poll.failed',
    'orphans.released',
    'poll.failed',
    'process.died',
    'process.orphaned',
    'reconcile.failed',
    'release.failed',
    'removal.failed',
    'replay.failed',
    'replay.not_released',
    'replay.step_failed',
    'request.unavailable',
    'retention.failed',
    'schema.ended',
    'settle.failed',
    'settle.fenced',
    'stats.not_swept',
    'stats.not_written',
    'target.blocked',
    'traces.not_exported',
    'webhook.disabled',
    'webhooks.not_read',
  ],
  error: [
    'admin_key.not_valid',
    'apollo',
    'append.fault',
    'append.in_doubt',
    'attempt.fault',
    'audit.dropped',
    'database.file_open_to_others',
    'process.unhandled_rejection',
    'request.fault',
    'secret_key.not_fitting',
    'settle.given_up',
    'settle.impossible',
    'socket.fault',
  ],
} as const;

export type LogEvent<Level extends keyof typeof LOG_EVENTS> = (typeof LOG_EVENTS)[Level][number];

/**
 * Structured facts, one wide line a unit of work: `log.info({ events: 12 }, 'events.committed')`.
 * Never payloads, keys or secrets.
 */
export interface Log {
  debug(facts: object, event: LogEvent<'debug'>): void;
  info(facts: object, event: LogEvent<'info'>): void;
  warn(facts: object, event: LogEvent<'warn'>): void;
  error(facts: object, event: LogEvent<'error'>): void;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

/**
 * On standard error, so that standard output stays free for what a command prints: JSON lines, or on a terminal lines for
 * people.
 */
export function createLog(level: LogLevel, held?: HeldLines): Log {
  const standardError = pino.destination({ dest: 2, sync: true });
  const shown = process.stderr.isTTY ? { write: (line: string) => standardError.write(readableLine(line)) } : standardError;
  return pino(
    { level, base: { pid: process.pid }, timestamp: pino.stdTimeFunctions.isoTime, messageKey: 'event' },
    held ? held.before(shown) : shown,
  );
}

interface Destination {
  write(line: string): unknown;
}

/** What is logged before something else is printed, which is to stand above it. */
export class HeldLines {
  #lines: string[] | undefined = [];
  #destination: Destination | undefined;

  before(destination: Destination): Destination {
    this.#destination = destination;
    return { write: (line) => (this.#lines ? this.#lines.push(line) : destination.write(line)) };
  }

  release(): void {
    for (const line of this.#lines ?? []) this.#destination?.write(line);
    this.#lines = undefined;
  }
}

export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} };
