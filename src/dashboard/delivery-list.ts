/**
 * Runs in the browser before the dashboard's own script and touches no page: the bounded list of deliveries and the
 * counters over their updates.
 */
export const deliveryListScript = `(function () {
  'use strict';

  function rowOf(delivery) {
    return {
      id: delivery.id,
      status: delivery.status,
      attemptCount: delivery.attemptCount,
      eventType: delivery.eventType,
      sequence: delivery.sequence,
      webhookId: delivery.webhookId,
      webhookUrl: delivery.webhook ? delivery.webhook.url : delivery.webhookId,
      attempt: null,
      at: null,
    };
  }

  function lastAttempt(delivery) {
    const attempts = (delivery.attempts && delivery.attempts.nodes) || [];
    return attempts.reduce(function (last, attempt) { return !last || attempt.number > last.number ? attempt : last; }, null);
  }

  /** Newest first, at most maxRows; the oldest leave. A row changes in its place, so that nothing jumps under a reader. */
  class DeliveryList {
    #maxRows;
    #ids = [];
    #rows = new Map();
    #revision = 0;

    constructor(maxRows) {
      this.#maxRows = maxRows;
    }

    /** Grows with every update: taken before a query, it tells which rows are newer than the answer. */
    get revision() {
      return this.#revision;
    }

    get rows() {
      return this.#ids.map((id) => this.#rows.get(id));
    }

    get(id) {
      return this.#rows.get(id);
    }

    clear() {
      this.#ids = [];
      this.#rows.clear();
    }

    apply(update) {
      this.#revision += 1;
      const before = this.#rows.get(update.delivery.id);
      if (!before) this.#ids.unshift(update.delivery.id);
      this.#rows.set(update.delivery.id, {
        ...rowOf(update.delivery),
        status: update.status,
        attempt: update.attempt || (before ? before.attempt : null),
        at: update.at,
        revision: this.#revision,
      });
      this.#trim();
    }

    /** The answer of a query, newest first, asked for when the list stood at revision "since". */
    merge(deliveries, since) {
      const queried = new Set(deliveries.map((delivery) => delivery.id));
      const others = this.#ids.filter((id) => !queried.has(id));
      for (const delivery of deliveries) this.#mergeOne(delivery, since);
      this.#ids = [
        ...others.filter((id) => this.#rows.get(id).revision > since),
        ...queried,
        ...others.filter((id) => this.#rows.get(id).revision <= since),
      ];
      this.#trim();
    }

    /** What a mutation returned for one delivery. */
    patch(delivery) {
      const row = this.#rows.get(delivery.id);
      if (row) this.#rows.set(row.id, { ...row, status: delivery.status, attemptCount: delivery.attemptCount });
    }

    #mergeOne(delivery, since) {
      const before = this.#rows.get(delivery.id);
      if (before && before.revision > since) return;
      const at = before ? before.at : delivery.completedAt || delivery.createdAt;
      this.#rows.set(delivery.id, { ...rowOf(delivery), attempt: lastAttempt(delivery), at: at, revision: since });
    }

    #trim() {
      for (const id of this.#ids.splice(this.#maxRows)) this.#rows.delete(id);
    }
  }

  const WINDOW_SECONDS = 10;
  const DURATIONS_KEPT = 200;

  /** Counts since the page opened its stream; the rate is over the last ten whole seconds. */
  class Counters {
    constructor() {
      this.clear();
    }

    clear() {
      this.updates = 0;
      this.attemptsSucceeded = 0;
      this.attemptsFailed = 0;
      this.deliveries = { SUCCEEDED: 0, FAILED: 0, CANCELLED: 0 };
      this.durations = [];
      this.perSecond = new Map();
    }

    record(update, nowMs) {
      this.updates += 1;
      const second = Math.floor(nowMs / 1000);
      this.perSecond.set(second, (this.perSecond.get(second) || 0) + 1);
      this.#forget(second);
      if (Object.hasOwn(this.deliveries, update.status)) this.deliveries[update.status] += 1;
      if (update.attempt) this.#recordAttempt(update.attempt);
    }

    rate(nowMs) {
      const second = Math.floor(nowMs / 1000);
      this.#forget(second);
      let sum = 0;
      for (const [at, count] of this.perSecond) if (at < second) sum += count;
      return sum / WINDOW_SECONDS;
    }

    get medianMs() {
      if (!this.durations.length) return null;
      return this.durations.toSorted((a, b) => a - b)[Math.floor(this.durations.length / 2)];
    }

    #recordAttempt(attempt) {
      if (attempt.outcome === 'SUCCESS') this.attemptsSucceeded += 1;
      else this.attemptsFailed += 1;
      this.durations.push(attempt.durationMs);
      if (this.durations.length > DURATIONS_KEPT) this.durations.shift();
    }

    #forget(second) {
      for (const at of this.perSecond.keys()) if (at < second - WINDOW_SECONDS) this.perSecond.delete(at);
    }
  }

  globalThis.livehookDeliveries = { DeliveryList: DeliveryList, Counters: Counters };
})();
`;
