/**
 * Runs in the browser, after graphql-ws and `deliveryListScript`. Text reaches the page through `textContent` only:
 * event types, URLs, headers and response bodies are written by third parties.
 */
export const dashboardScript = String.raw`(function () {
  'use strict';

  const { DeliveryList, Counters } = globalThis.livehookDeliveries;

  const KEY = 'livehook.apiKey';
  const APPLICATION = 'livehook.applicationId';
  const MAX_ROWS = 200;
  const MAX_BATCH = 100;
  const INTERVAL_MS = 100;
  const PAINT_EVERY_MS = 200;
  const PAINT_FLOOD_EVERY_MS = 1000;
  const FLOOD_ROWS = 30;
  const DETAILS_PAUSE_MS = 300;
  const WEBHOOKS_EVERY_MS = 15000;
  const PING_EVERY_MS = 15000;
  const PONG_WITHIN_MS = 5000;
  const RESUBSCRIBE_MS = 3000;
  const MAX_RETRY_MS = 15000;
  const MAX_LAG_MS = 15000;
  const MAX_APPLICATIONS = 1000;
  const REFUSED = ['UNAUTHENTICATED', 'FORBIDDEN'];
  const REFUSED_CLOSE_CODES = [4401, 4403];

  const VIEWER = 'query Viewer { viewer { admin application { id key name } } }';
  const APPLICATIONS =
    'query Applications($after: String) { applications(first: 100, after: $after) ' +
    '{ nodes { id key name } pageInfo { hasNextPage endCursor } } }';
  const WEBHOOKS =
    'query Webhooks($applicationId: ID, $after: String) { webhooks(applicationId: $applicationId, first: 100, after: $after) ' +
    '{ nodes { id url description eventTypes status health healthReason } pageInfo { hasNextPage endCursor } } }';
  const DELIVERIES =
    'query Deliveries($applicationId: ID, $filter: DeliveryFilter) { deliveries(applicationId: $applicationId, first: 50, filter: $filter) ' +
    '{ nodes { id status attemptCount createdAt completedAt eventType sequence webhookId webhook { url } ' +
    'attempts(first: 10) { nodes { number outcome statusCode durationMs } } } } }';
  const DELIVERY =
    'query Delivery($id: ID!, $after: String) { delivery(id: $id) { id status attemptCount nextAttemptAt createdAt completedAt requestBody ' +
    'eventId eventType sequence webhookId event { occurredAt } webhook { url } attempts(first: 50, after: $after) { nodes { id number trigger startedAt ' +
    'durationMs outcome statusCode error requestHeaders { name value } responseHeaders { name value } responseBody responseTruncated curl } ' +
    'pageInfo { hasNextPage endCursor } } } }';
  const UPDATES =
    'subscription Updates($applicationId: ID, $filter: DeliveryFilter, $after: String, $maxBatch: Int, $intervalMs: Int) ' +
    '{ deliveryUpdates(applicationId: $applicationId, filter: $filter, after: $after, maxBatch: $maxBatch, intervalMs: $intervalMs) ' +
    '{ updates { delivery { id status attemptCount eventType sequence webhookId webhook { url } } ' +
    'attempt { number outcome statusCode durationMs } status at } cursor } }';

  const ERRORS = 'userErrors { field message code }';
  const WEBHOOK_MUTATIONS = {
    Pause: ['webhookPause', 'mutation Pause($id: ID!) { webhookPause(id: $id) { webhook { id status } ' + ERRORS + ' } }'],
    Resume: ['webhookResume', 'mutation Resume($id: ID!) { webhookResume(id: $id) { webhook { id status } ' + ERRORS + ' } }'],
  };
  const DELIVERY_MUTATIONS = {
    retry: ['deliveryRetry', 'mutation Retry($id: ID!) { deliveryRetry(id: $id) { delivery { id status attemptCount } ' + ERRORS + ' } }'],
    cancel: ['deliveryCancel', 'mutation Cancel($id: ID!) { deliveryCancel(id: $id) { delivery { id status attemptCount } ' + ERRORS + ' } }'],
  };

  // ---- page ----

  const byId = (id) => document.getElementById(id);

  // Characters that turn the direction of writing, or cannot be seen, are written out: no URL may pose as another.
  function visible(text) {
    return text.replace(/[\u0000-\u0008\u000e-\u001f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g, (character) =>
      '\\u' + character.charCodeAt(0).toString(16).padStart(4, '0'));
  }

  function setText(node, value) {
    const text = value === null || value === undefined ? '–' : visible(String(value));
    if (node.textContent !== text) node.textContent = text;
  }

  function element(tag, className, text) {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined) setText(node, text);
    return node;
  }

  function button(text, className, onClick) {
    const node = element('button', className, text);
    node.type = 'button';
    if (onClick) node.addEventListener('click', onClick);
    return node;
  }

  function setStatus(node, status) {
    node.classList.add('status');
    node.dataset.status = status || '';
    setText(node, status);
  }

  function setOutcome(node, outcome) {
    setStatus(node, outcome);
    if (outcome && outcome !== 'SUCCESS') node.dataset.status = 'failure';
  }

  function say(where, message) {
    setText(where, message);
    where.hidden = !message;
  }

  const milliseconds = (value) => (typeof value === 'number' ? value + ' ms' : null);
  const clock = (value) => (value ? new Date(value).toLocaleTimeString() : null);
  const dateAndTime = (value) => (value ? new Date(value).toLocaleString() : null);

  // ---- requests ----

  // Beside this page: a proxy may serve the hub under a path.
  const API = String(new URL('graphql', document.baseURI));
  const SOCKET = API.replace(/^http/, 'ws');

  class HubError extends Error {
    constructor(message, code) {
      super(code ? message + ' (' + code + ')' : message);
      this.code = code;
    }
  }

  function hubError(errors) {
    const first = errors[0] || { message: 'unknown error' };
    return new HubError(first.message, first.extensions && first.extensions.code);
  }

  async function ask(query, variables) {
    const response = await fetch(API, {
      method: 'POST',
      credentials: 'omit',
      headers: {
        accept: 'application/graphql-response+json, application/json',
        'content-type': 'application/json',
        authorization: 'Bearer ' + session.key,
      },
      body: JSON.stringify({ query: query, variables: variables }),
      signal: session.ended.signal,
    });
    const body = await response.json().catch(() => null);
    if (!body) throw new HubError('expected JSON, got HTTP ' + response.status);
    if (body.errors && body.errors.length) throw hubError(body.errors);
    return body.data;
  }

  /** Runs a mutation and shows its userErrors; answers its payload, or null when there were any. */
  async function change(mutation, id, notice) {
    const [field, document] = mutation;
    const payload = (await ask(document, { id: id }))[field];
    say(notice, payload.userErrors.map(sentence).join('\n'));
    return payload.userErrors.length ? null : payload;
  }

  function sentence(userError) {
    const field = (userError.field || []).join('.');
    return (field ? field + ': ' : '') + userError.message + ' (' + userError.code + ')';
  }

  /** Waits for work a person asked for: its button rests meanwhile, a failure is shown. */
  async function perform(node, notice, work) {
    const hadFocus = document.activeElement === node;
    node.disabled = true;
    try {
      await work();
    } catch (error) {
      if (error.name !== 'AbortError') say(notice, error.message);
    } finally {
      node.disabled = false;
      if (hadFocus && document.activeElement === document.body) node.focus();
    }
  }

  // ---- live stream ----

  class Live {
    #client;
    #payload;
    #on;
    #unsubscribe = null;
    #resubscribing = null;
    #pong = null;
    #stopped = false;
    #troubled = false;
    #leastLagMs = Infinity;

    constructor(key, applicationId, filter, on) {
      this.#on = on;
      // graphql-ws sends this same object again after a reconnect: the cursor in it is where the stream resumes.
      this.#payload = {
        query: UPDATES,
        variables: { applicationId: applicationId, filter: filter, after: null, maxBatch: MAX_BATCH, intervalMs: INTERVAL_MS },
      };
      this.#client = graphqlWs.createClient({
        url: SOCKET,
        connectionParams: { authorization: 'Bearer ' + key },
        keepAlive: PING_EVERY_MS,
        retryAttempts: Infinity,
        retryWait: (retries) => new Promise((done) => setTimeout(done, Math.min(MAX_RETRY_MS, 500 * 2 ** retries) * (0.5 + Math.random() / 2))),
        // A refused connection is an error event, not a close event, and worth retrying all the same.
        shouldRetry: (reason) => !REFUSED_CLOSE_CODES.includes(reason && reason.code),
        on: {
          connected: () => this.#connected(),
          closed: () => this.#closed(),
          ping: (received) => received || this.#awaitPong(),
          pong: (received) => received && clearTimeout(this.#pong),
        },
      });
      this.#subscribe();
    }

    stop() {
      this.#stopped = true;
      clearTimeout(this.#resubscribing);
      clearTimeout(this.#pong);
      this.#unsubscribe();
      Promise.resolve(this.#client.dispose()).catch(() => {});
    }

    #subscribe() {
      this.#unsubscribe = this.#client.subscribe(this.#payload, {
        next: (result) => this.#stopped || this.#next(result),
        error: (reason) => this.#stopped || this.#failed(reason),
        complete: () => this.#stopped || this.#resubscribe(RESUBSCRIBE_MS),
      });
    }

    #connected() {
      if (this.#stopped) return;
      this.#on.state('live', 'Live');
      this.#on.opened();
    }

    #closed() {
      clearTimeout(this.#pong);
      if (!this.#stopped) this.#on.state('waiting', 'Reconnecting…');
    }

    // A socket whose other end vanished says nothing: only a missing pong tells.
    #awaitPong() {
      clearTimeout(this.#pong);
      this.#pong = setTimeout(() => this.#client.terminate(), PONG_WITHIN_MS);
    }

    #next(result) {
      if (result.errors && result.errors.length) return this.#failed(result.errors);
      const page = result.data.deliveryUpdates;
      this.#payload.variables.after = page.cursor;
      if (this.#troubled) this.#on.notice('');
      this.#troubled = false;
      this.#on.page(page);
      if (this.#tooFarBehind(page.updates)) this.#restart('Skipped ahead: updates came faster than this page can show.');
    }

    // Clocks differ: the least lag seen stands for none.
    #tooFarBehind(updates) {
      if (updates.length < MAX_BATCH) return false;
      const lagMs = Date.now() - Date.parse(updates[updates.length - 1].at);
      this.#leastLagMs = Math.min(this.#leastLagMs, lagMs);
      return lagMs - this.#leastLagMs > MAX_LAG_MS;
    }

    #failed(reason) {
      if (Array.isArray(reason)) return this.#failedWith(hubError(reason));
      if (REFUSED_CLOSE_CODES.includes(reason && reason.code)) return this.#refused(reason.reason || 'the key was refused');
      this.#on.state('waiting', 'Reconnecting…');
      this.#resubscribe(RESUBSCRIBE_MS);
    }

    #failedWith(error) {
      if (REFUSED.includes(error.code)) return this.#refused(error.message);
      if (error.code === 'CURSOR_EXPIRED') return this.#restart('Some updates are no longer kept; the list was read again.');
      this.#troubled = true;
      this.#on.state('waiting', 'Trying again…');
      this.#on.notice(error.message);
      this.#resubscribe(RESUBSCRIBE_MS);
    }

    #refused(message) {
      this.#on.notice(message);
      this.#on.state('failed', 'Not connected');
      this.stop();
    }

    #restart(message) {
      this.#payload.variables.after = null;
      this.#leastLagMs = Infinity;
      this.#on.notice(message);
      this.#resubscribe(0);
    }

    // Without its only subscription the socket closes: the next one opens it again, which reads the state again.
    #resubscribe(delayMs) {
      this.#unsubscribe();
      clearTimeout(this.#resubscribing);
      this.#resubscribing = setTimeout(() => this.#stopped || this.#subscribe(), delayMs);
    }
  }

  // ---- session: one key, one application ----

  const list = new DeliveryList(MAX_ROWS);
  const counters = new Counters();
  const notice = byId('notice');
  const noSession = { key: '', ended: new AbortController(), live: null };
  const filter = { status: '', types: [], webhook: null };
  let session = noSession;
  let held = false;

  async function connect(key) {
    disconnect();
    session = { key: key, ended: new AbortController(), live: null, applicationId: undefined, webhooks: new Map(), webhooksAfter: null };
    const mine = session;
    setState('waiting', 'Connecting…');
    try {
      const viewer = (await ask(VIEWER)).viewer;
      sessionStorage.setItem(KEY, key);
      byId('forget').hidden = false;
      if (viewer.admin) await offerApplications();
      if (mine === session) openApplication(viewer.admin ? byId('application').value : undefined);
    } catch (error) {
      if (mine !== session) return;
      setState('failed', 'Not connected');
      say(notice, error.message);
    }
  }

  function disconnect() {
    session.ended.abort();
    if (session.live) session.live.stop();
    session = noSession;
    byId('application-field').hidden = true;
    byId('content').hidden = true;
    byId('welcome').hidden = false;
    say(notice, '');
    setState('off', 'Not connected');
  }

  function forget() {
    sessionStorage.removeItem(KEY);
    sessionStorage.removeItem(APPLICATION);
    byId('key').value = '';
    byId('forget').hidden = true;
    disconnect();
    byId('key').focus();
  }

  function setState(state, text) {
    byId('state').dataset.state = state;
    setText(byId('state'), text);
  }

  async function offerApplications() {
    const found = [];
    let after = null;
    do {
      const page = (await ask(APPLICATIONS, { after: after })).applications;
      found.push(...page.nodes);
      after = page.pageInfo.hasNextPage ? page.pageInfo.endCursor : null;
    } while (after && found.length < MAX_APPLICATIONS);
    const select = byId('application');
    select.replaceChildren(...found.map(applicationOption));
    const remembered = sessionStorage.getItem(APPLICATION);
    if (found.some((application) => application.id === remembered)) select.value = remembered;
    byId('application-field').hidden = false;
    if (!found.length) throw new Error('There is no application yet. Create one with applicationCreate in GraphiQL.');
  }

  function applicationOption(application) {
    const option = element('option', '', application.name || application.key || application.id);
    option.value = application.id;
    return option;
  }

  function openApplication(applicationId) {
    session.applicationId = applicationId;
    if (applicationId) sessionStorage.setItem(APPLICATION, applicationId);
    session.webhooks.clear();
    session.webhooksAfter = null;
    filter.webhook = null;
    counters.clear();
    say(notice, '');
    byId('welcome').hidden = true;
    byId('content').hidden = false;
    paintWebhooks();
    watch();
  }

  /** Opens the stream for the present filter; what it opens reads the state it continues from. */
  function watch() {
    if (session.live) session.live.stop();
    list.clear();
    paint();
    const mine = session;
    const current = (work) => (value, text) => mine === session && mine.live === live && work(value, text);
    const live = new Live(session.key, session.applicationId, streamFilter(), {
      page: current(takePage),
      opened: current(readState),
      state: current(setState),
      notice: current((message) => say(notice, message)),
    });
    session.live = live;
  }

  // Not by status: the stream would not say that a delivery has left the status looked for.
  function streamFilter() {
    const wanted = {};
    if (filter.webhook) wanted.webhookIds = [filter.webhook.id];
    if (filter.types.length) wanted.eventTypes = filter.types;
    return Object.keys(wanted).length ? wanted : undefined;
  }

  function takePage(page) {
    const nowMs = Date.now();
    for (const update of page.updates) {
      list.apply(update);
      counters.record(update, nowMs);
      if (update.delivery.id === details.id) refreshDetailsSoon();
    }
    paintSoon();
  }

  async function readState() {
    const mine = session;
    try {
      await Promise.all([readDeliveries(), readWebhooks(null)]);
    } catch (error) {
      if (mine === session && error.name !== 'AbortError') say(notice, error.message);
    }
  }

  async function readDeliveries() {
    const live = session.live;
    const since = list.revision;
    const wanted = streamFilter() || {};
    const query = filter.status ? Object.assign({ statuses: [filter.status] }, wanted) : wanted;
    const found = (await ask(DELIVERIES, { applicationId: session.applicationId, filter: query })).deliveries.nodes;
    if (live !== session.live) return;
    list.merge(found, since);
    paint();
  }

  async function readWebhooks(after) {
    const mine = session;
    const page = (await ask(WEBHOOKS, { applicationId: session.applicationId, after: after })).webhooks;
    if (mine !== session) return;
    if (!after) session.webhooks.clear();
    for (const webhook of page.nodes) session.webhooks.set(webhook.id, webhook);
    session.webhooksAfter = page.pageInfo.hasNextPage ? page.pageInfo.endCursor : null;
    paintWebhooks();
  }

  // ---- webhooks ----

  const webhookRows = new Map();

  function paintWebhooks() {
    const webhooks = [...session.webhooks.values()];
    keepOnly(webhookRows, session.webhooks);
    placeInOrder(byId('webhooks'), webhooks.map(webhookRow));
    byId('webhooks-empty').hidden = webhooks.length > 0;
    byId('webhooks-more').hidden = !session.webhooksAfter;
    byId('filter-webhook').hidden = !filter.webhook;
    if (filter.webhook) setText(byId('filter-webhook-url'), 'Only ' + filter.webhook.url);
  }

  function webhookRow(webhook) {
    let cells = webhookRows.get(webhook.id);
    if (!cells) {
      cells = newWebhookRow(webhook.id);
      webhookRows.set(webhook.id, cells);
    }
    setText(cells.url, webhook.url);
    cells.row.title = webhook.healthReason || webhook.description || '';
    setText(cells.types, webhook.eventTypes.join(', '));
    const isWell = webhook.status !== 'ACTIVE' || !webhook.health || webhook.health === 'HEALTHY';
    setStatus(cells.status, isWell ? webhook.status : webhook.health);
    setText(cells.toggle, webhook.status === 'ACTIVE' ? 'Pause' : 'Resume');
    cells.toggle.setAttribute('aria-label', cells.toggle.textContent + ' ' + webhook.url);
    return cells.row;
  }

  function newWebhookRow(id) {
    const row = element('tr');
    const url = element('td', 'foreign');
    const types = element('td', 'foreign');
    const status = element('span');
    const toggle = button('', '', () => toggleWebhook(id, toggle));
    const only = button('Only its deliveries', 'link', () => watchWebhook(id));
    const actions = element('div', 'actions');
    actions.append(toggle, only);
    row.append(url, types, cell(status), cell(actions));
    return { row: row, url: url, types: types, status: status, toggle: toggle };
  }

  function cell(child) {
    const node = element('td');
    node.append(child);
    return node;
  }

  function toggleWebhook(id, toggle) {
    const webhook = session.webhooks.get(id);
    const mutation = WEBHOOK_MUTATIONS[webhook.status === 'ACTIVE' ? 'Pause' : 'Resume'];
    return perform(toggle, notice, async () => {
      const mine = session;
      const payload = await change(mutation, id, notice);
      if (!payload || mine !== session) return;
      session.webhooks.set(id, Object.assign({}, webhook, payload.webhook));
      paintWebhooks();
    });
  }

  function watchWebhook(id) {
    filter.webhook = id ? session.webhooks.get(id) : null;
    paintWebhooks();
    watch();
    byId('deliveries').focus();
  }

  // ---- deliveries ----

  const deliveryRows = new Map();
  let painting = null;
  let flooded = false;

  // More new rows than anyone can read are shown once a second and unlit: painting them sooner takes a whole core.
  function paintSoon() {
    if (painting === null) painting = setTimeout(paint, flooded ? PAINT_FLOOD_EVERY_MS : PAINT_EVERY_MS);
  }

  function paint() {
    clearTimeout(painting);
    painting = null;
    paintCounters();
    if (held) return;
    const rows = list.rows.filter((row) => !filter.status || row.status === filter.status);
    flooded = rows.filter((row) => !deliveryRows.has(row.id)).length > FLOOD_ROWS;
    keepOnly(deliveryRows, new Map(rows.map((row) => [row.id, row])));
    placeInOrder(byId('rows'), rows.map(deliveryRow));
    byId('rows-empty').hidden = rows.length > 0;
    setText(byId('shown'), 'Newest ' + rows.length + ' of at most ' + MAX_ROWS);
  }

  function keepOnly(rows, wanted) {
    for (const [id, cells] of rows) {
      if (wanted.has(id)) continue;
      cells.row.remove();
      rows.delete(id);
    }
  }

  // Rows that are where they belong are not touched: focus and selection survive.
  function placeInOrder(parent, nodes) {
    let next = parent.firstElementChild;
    for (const node of nodes) {
      if (node === next) next = next.nextElementSibling;
      else parent.insertBefore(node, next);
    }
  }

  function deliveryRow(row) {
    let cells = deliveryRows.get(row.id);
    if (!cells) {
      cells = newDeliveryRow(row);
      deliveryRows.set(row.id, cells);
    }
    if (cells.shown !== row) fillDeliveryRow(cells, row);
    return cells.row;
  }

  function newDeliveryRow(delivery) {
    const row = element('tr', flooded ? '' : 'fresh');
    row.dataset.id = delivery.id;
    const open = button(delivery.eventType, 'link foreign');
    open.setAttribute('aria-haspopup', 'dialog');
    const type = cell(open);
    type.className = 'foreign';
    const url = element('td', 'foreign', delivery.webhookUrl);
    url.title = delivery.webhookUrl;
    const cells = { row: row, status: element('span'), attempt: element('td', 'number'), outcome: element('span') };
    Object.assign(cells, { code: element('td', 'number'), duration: element('td', 'number'), time: element('td') });
    row.append(element('td', 'number', delivery.sequence), type, url, cell(cells.status), cells.attempt);
    row.append(cell(cells.outcome), cells.code, cells.duration, cells.time);
    return cells;
  }

  function fillDeliveryRow(cells, row) {
    const attempt = row.attempt || {};
    cells.shown = row;
    setStatus(cells.status, row.status);
    setText(cells.attempt, attempt.number || row.attemptCount || null);
    setOutcome(cells.outcome, attempt.outcome);
    setText(cells.code, attempt.statusCode);
    setText(cells.duration, milliseconds(attempt.durationMs));
    setText(cells.time, clock(row.at));
  }

  function paintCounters() {
    setText(byId('count-rate'), counters.rate(Date.now()).toFixed(1));
    setText(byId('count-updates'), counters.updates.toLocaleString());
    setText(byId('count-attempts-succeeded'), counters.attemptsSucceeded.toLocaleString());
    setText(byId('count-attempts-failed'), counters.attemptsFailed.toLocaleString());
    setText(byId('count-succeeded'), counters.deliveries.SUCCEEDED.toLocaleString());
    setText(byId('count-failed'), counters.deliveries.FAILED.toLocaleString());
    setText(byId('count-median'), milliseconds(counters.medianMs));
  }

  function hold() {
    held = !held;
    byId('freeze').setAttribute('aria-pressed', String(held));
    paint();
  }

  function filterChanged() {
    filter.types = byId('filter-types').value.split(/[\s,]+/).filter(Boolean);
    watch();
  }

  function statusFilterChanged() {
    filter.status = byId('filter-status').value;
    paint();
    readState();
  }

  // ---- details of one delivery ----

  const details = { id: null, shown: new Set(), after: null, soon: null };

  function openDetails(id) {
    const row = list.get(id);
    if (!row) return;
    Object.assign(details, { id: id, shown: new Set(), after: null });
    byId('attempts').replaceChildren();
    byId('details-body').open = false;
    say(byId('details-notice'), '');
    setText(byId('details-title'), row.eventType);
    byId('details-facts').replaceChildren();
    byId('details').showModal();
    readDetails(null);
  }

  function refreshDetailsSoon() {
    clearTimeout(details.soon);
    details.soon = setTimeout(() => details.id && readDetails(null), DETAILS_PAUSE_MS);
  }

  async function readDetails(after) {
    const id = details.id;
    try {
      const delivery = (await ask(DELIVERY, { id: id, after: after })).delivery;
      if (id !== details.id) return;
      if (!delivery) throw new Error('This delivery is no longer kept.');
      paintDetails(delivery, after);
    } catch (error) {
      if (id === details.id && error.name !== 'AbortError') say(byId('details-notice'), error.message);
    }
  }

  function paintDetails(delivery, after) {
    setText(byId('details-title'), delivery.eventType);
    byId('details-facts').replaceChildren(...facts(delivery));
    setText(byId('details-body-text'), delivery.requestBody || '(not made yet, redacted, or not for this key)');
    byId('cancel').hidden = !['PENDING', 'RETRYING'].includes(delivery.status);
    for (const attempt of delivery.attempts.nodes) addAttempt(attempt);
    byId('attempts-empty').hidden = details.shown.size > 0;
    const pageInfo = delivery.attempts.pageInfo;
    if (after || !details.after) details.after = pageInfo.hasNextPage ? pageInfo.endCursor : null;
    byId('attempts-more').hidden = !details.after;
  }

  function facts(delivery) {
    const status = element('span');
    setStatus(status, delivery.status);
    return [
      ...fact('Status', status),
      ...fact('Webhook', element('span', 'foreign', delivery.webhook ? delivery.webhook.url : delivery.webhookId)),
      ...fact('Sequence', element('span', '', delivery.sequence)),
      ...fact('Event', element('code', '', delivery.eventId)),
      ...fact('Delivery', element('code', '', delivery.id)),
      ...fact('Occurred', element('span', '', dateAndTime(delivery.event && delivery.event.occurredAt))),
      ...fact('Attempts', element('span', '', delivery.attemptCount)),
      ...fact('Next attempt', element('span', '', dateAndTime(delivery.nextAttemptAt))),
      ...fact('Completed', element('span', '', dateAndTime(delivery.completedAt))),
    ];
  }

  function fact(name, value) {
    const definition = element('dd');
    definition.append(value);
    return [element('dt', '', name), definition];
  }

  // Attempts never change: one that is shown stays as it is, with what the reader has unfolded.
  function addAttempt(attempt) {
    if (details.shown.has(attempt.id)) return;
    details.shown.add(attempt.id);
    const article = element('article');
    article.dataset.number = attempt.number;
    article.append(attemptTitle(attempt));
    if (attempt.error) article.append(element('p', 'foreign', attempt.error));
    article.append(...attemptParts(attempt));
    const older = [...byId('attempts').children].find((other) => Number(other.dataset.number) < attempt.number);
    byId('attempts').insertBefore(article, older || null);
  }

  function attemptTitle(attempt) {
    const title = element('h4');
    const outcome = element('span');
    setOutcome(outcome, attempt.outcome);
    title.append(element('span', '', '#' + attempt.number), outcome);
    if (attempt.statusCode) title.append(element('span', '', attempt.statusCode));
    title.append(element('span', '', milliseconds(attempt.durationMs)), element('span', 'quiet', attempt.trigger));
    title.append(element('span', 'quiet', dateAndTime(attempt.startedAt)));
    return title;
  }

  function attemptParts(attempt) {
    const cut = attempt.responseTruncated ? ' (cut: it was longer)' : '';
    const curl = part('curl', attempt.curl);
    curl.append(copyButton(attempt.curl));
    return [
      part('Request headers', headerLines(attempt.requestHeaders)),
      part('Response headers', headerLines(attempt.responseHeaders)),
      part('Response body' + cut, attempt.responseBody),
      curl,
    ];
  }

  function part(name, text) {
    const node = element('details');
    const pre = element('pre', 'foreign', text || '(none)');
    pre.tabIndex = 0;
    node.append(element('summary', '', name), pre);
    return node;
  }

  const headerLines = (headers) => headers.map((header) => header.name + ': ' + header.value).join('\n');

  function copyButton(text) {
    const node = button('Copy', '', async () => {
      try {
        await navigator.clipboard.writeText(text);
        setText(node, 'Copied');
      } catch {
        setText(node, 'Select the text to copy it');
      }
    });
    return node;
  }

  function changeDelivery(name) {
    const id = details.id;
    const inDetails = byId('details-notice');
    return perform(byId(name), inDetails, async () => {
      const payload = await change(DELIVERY_MUTATIONS[name], id, inDetails);
      if (!payload) return;
      list.patch(payload.delivery);
      paint();
      if (id === details.id) await readDetails(null);
    });
  }

  function detailsClosed() {
    details.id = null;
    clearTimeout(details.soon);
  }

  // ---- wiring ----

  byId('key-form').addEventListener('submit', (event) => {
    event.preventDefault();
    connect(byId('key').value.trim());
  });
  byId('forget').addEventListener('click', forget);
  byId('application').addEventListener('change', () => openApplication(byId('application').value));
  byId('webhooks-more').addEventListener('click', (event) => perform(event.currentTarget, notice, () => readWebhooks(session.webhooksAfter)));
  byId('filter-status').addEventListener('change', statusFilterChanged);
  byId('filter-types').addEventListener('change', filterChanged);
  byId('filter-webhook-clear').addEventListener('click', () => watchWebhook(null));
  byId('freeze').addEventListener('click', hold);
  byId('rows').addEventListener('click', (event) => {
    const row = event.target.closest('tr');
    if (row && !String(getSelection())) openDetails(row.dataset.id);
  });
  byId('details').addEventListener('close', detailsClosed);
  byId('details').addEventListener('click', (event) => event.target === event.currentTarget && event.currentTarget.close());
  byId('details-close').addEventListener('click', () => byId('details').close());
  byId('retry').addEventListener('click', () => changeDelivery('retry'));
  byId('cancel').addEventListener('click', () => changeDelivery('cancel'));
  byId('attempts-more').addEventListener('click', (event) => perform(event.currentTarget, byId('details-notice'), () => readDetails(details.after)));

  setInterval(() => session.live && paintCounters(), 1000);
  // A webhook can be disabled by its receiver (410): its status is read again while someone looks.
  setInterval(() => {
    if (session.live && !document.hidden && session.webhooks.size <= 100) readWebhooks(null).catch(() => {});
  }, WEBHOOKS_EVERY_MS);

  // A link brings the key in its fragment, which reaches no log; nor does it stay in the address.
  const given = new URLSearchParams(location.hash.slice(1)).get('key');
  if (given) history.replaceState(null, '', location.pathname + location.search);
  const remembered = given || sessionStorage.getItem(KEY);
  if (remembered) {
    byId('key').value = remembered;
    connect(remembered);
  }
})();
`;
