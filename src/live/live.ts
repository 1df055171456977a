import type { Core } from '../core';
import { type LoggedUpdate, readUpdates } from '../deliveries/update-log';
import type { Event } from '../events/event';
import type { Events } from '../events/events';
import type { Facts } from '../facts';
import { followOthers } from '../follow-others';
import { groupBy } from '../group-by';
import { sequenceOf } from '../ids';
import type { RetryJob } from '../replay/retry-job';
import type { RetryJobs } from '../replay/retry-jobs';
import { readHead } from '../store/heads';
import type { WakeableLoop } from '../wakeable-loop';
import { type LoggedWebhookUpdate, readWebhookUpdates } from '../webhooks/update-log';
import { JobWatch } from './job-watch';
import { LiveLog } from './live-log';
import { LogPoller } from './log-poller';

interface Deps extends Core {
  readonly events: Events;
  readonly jobs: Pick<RetryJobs, 'byIds'>;
}

type Log = Parameters<typeof readHead>[2];

/** What entries are taken to weigh in memory, in bytes. */
const weightOfEvent = ({ payloadText }: Event) => 500 + 2 * payloadText.length;
const weightOfUpdate = ({ attempt }: LoggedUpdate) => 1_000 + (attempt ? 2_000 + 2 * (attempt.responseBody?.length ?? 0) : 0);
const weightOfWebhookUpdate = ({ reason }: LoggedWebhookUpdate) => 500 + 2 * (reason?.length ?? 0);

/** What is watched as it happens: the logs of events and of updates, and retry jobs. */
export class Live {
  readonly eventLog: LiveLog<Event>;
  readonly updateLog: LiveLog<LoggedUpdate>;
  readonly webhookLog: LiveLog<LoggedWebhookUpdate>;
  readonly jobWatch: JobWatch<RetryJob>;
  readonly #facts: Facts;
  readonly #poller: LogPoller;
  readonly #jobLoop: WakeableLoop;

  constructor(deps: Deps) {
    const { database, clock, events, jobs, facts } = deps;
    this.#facts = facts;
    const headOf = (log: Log) => (applicationId: string) => readHead(database, applicationId, log);
    this.eventLog = new LiveLog(clock, { after: (...place) => events.after(...place), head: headOf('event') }, weightOfEvent);
    this.updateLog = new LiveLog(
      clock,
      { after: (...place) => readUpdates(database.read, ...place), head: headOf('update') },
      weightOfUpdate,
    );
    this.webhookLog = new LiveLog(
      clock,
      { after: (...place) => readWebhookUpdates(database.read, ...place), head: headOf('webhook') },
      weightOfWebhookUpdate,
    );
    this.jobWatch = new JobWatch((ids) => jobs.byIds(ids));
    this.#poller = new LogPoller({ ...deps, logs: { event: this.eventLog, update: this.updateLog, webhook: this.webhookLog } });
    this.#jobLoop = followOthers(deps, 'jobs', () => this.jobWatch.refresh());
    facts.eventsStored.on(({ batch }) => {
      for (const [applicationId, events] of groupBy(batch.stored, (event) => event.applicationId))
        this.eventLog.announce(applicationId, events);
      facts.updatesLogged.emit(batch.updates);
    });
    facts.updatesLogged.on((updates) => {
      for (const [applicationId, entries] of updates) this.updateLog.announce(applicationId, entries);
    });
    facts.webhookUpdatesLogged.on(({ applicationId, updates }) => this.webhookLog.announce(applicationId, updates));
    facts.jobRequested.on(({ job }) => this.jobWatch.changed(job));
    facts.jobAdvanced.on(({ job }) => this.jobWatch.changed(job));
    facts.eventRedacted.on(({ applicationId, sequence, at }) => this.#redact(applicationId, sequence, at));
  }

  get followers(): number {
    return this.eventLog.followers + this.updateLog.followers + this.webhookLog.followers;
  }

  /** Entries of the logs that are kept for followers close behind. */
  get keptEntries(): number {
    return this.eventLog.kept + this.updateLog.kept + this.webhookLog.kept;
  }

  start(): void {
    this.#poller.start();
    this.#jobLoop.start();
  }

  /** Ends every stream. */
  async stop(): Promise<void> {
    this.eventLog.close();
    this.updateLog.close();
    this.webhookLog.close();
    this.jobWatch.close();
    await Promise.all([this.#poller.stop(), this.#jobLoop.stop()]);
  }

  /** Takes a payload out of what is kept for followers, and what receivers may have repeated of it. */
  #redact(applicationId: string, redacted: number, at: Date): void {
    this.eventLog.visit(applicationId, (event) => {
      if (event.sequence !== redacted) return;
      event.redact(at);
      this.#facts.eventBlanked.emit({ event });
    });
    this.updateLog.visit(applicationId, ({ deliveryId, attempt }) => {
      if (attempt && sequenceOf(deliveryId) === redacted) Object.assign(attempt, { responseBody: null, responseHeaders: [] });
    });
  }
}
