/**
 * To be sent as `content-security-policy` with the page. Nothing inline, nothing from another host, and no string can
 * become markup: `require-trusted-types-for` refuses `innerHTML`, since event types, URLs and response bodies are
 * written by third parties. `connect-src 'self'` covers `ws:` and `wss:` to the same host.
 */
export const DASHBOARD_CSP = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

const statuses = ['PENDING', 'RETRYING', 'SUCCEEDED', 'FAILED', 'CANCELLED'] as const;

const counters = [
  ['count-rate', 'Updates per second'],
  ['count-updates', 'Updates'],
  ['count-attempts-succeeded', 'Attempts succeeded'],
  ['count-attempts-failed', 'Attempts failed'],
  ['count-succeeded', 'Deliveries succeeded'],
  ['count-failed', 'Deliveries failed'],
  ['count-median', 'Median attempt'],
] as const;

const statusOptions = statuses.map((status) => `<option>${status}</option>`).join('');
const counterTiles = counters.map(([id, label]) => `<div class="tile"><dt>${label}</dt><dd id="${id}">–</dd></div>`).join('\n');

const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>Livehook</title>
<link rel="icon" href="assets/livehook.svg" type="image/svg+xml">
<link rel="stylesheet" href="assets/dashboard.css">
</head>
<body>
<a class="skip" href="#deliveries">Skip to deliveries</a>
<header>
<h1><img src="assets/livehook.svg" alt="" width="24" height="24"> Livehook</h1>
<form id="key-form" autocomplete="off">
<label for="key">API key</label>
<input id="key" type="password" required autocomplete="off" spellcheck="false">
<button type="submit" class="primary">Connect</button>
<button type="button" id="forget" hidden>Forget key</button>
</form>
<div id="application-field" hidden>
<label for="application">Application</label>
<select id="application"></select>
</div>
<p id="state" role="status" data-state="off">Not connected</p>
<nav aria-label="Tools"><a href="graphql">GraphiQL</a></nav>
</header>
<main>
<p id="notice" role="alert" hidden></p>
<noscript><p>The dashboard needs JavaScript.</p></noscript>
<p id="welcome">Enter an API key to watch deliveries as they happen. It stays in this tab and is forgotten with it.</p>
<div id="content" hidden>
<section aria-labelledby="counters-title">
<h2 id="counters-title">Since connecting</h2>
<dl class="tiles">
${counterTiles}
</dl>
</section>
<section aria-labelledby="webhooks-title">
<h2 id="webhooks-title">Webhooks</h2>
<div class="scroll" role="region" aria-labelledby="webhooks-title" tabindex="0">
<table>
<thead><tr><th scope="col">URL</th><th scope="col">Event types</th><th scope="col">Status</th><th scope="col">Actions</th></tr></thead>
<tbody id="webhooks"></tbody>
</table>
</div>
<p id="webhooks-empty" class="empty" hidden>No webhooks yet. Register one with webhookCreate in <a href="graphql">GraphiQL</a>.</p>
<button type="button" id="webhooks-more" hidden>Show more webhooks</button>
</section>
<section aria-labelledby="deliveries" id="deliveries-section">
<h2 id="deliveries" tabindex="-1">Deliveries</h2>
<div class="toolbar">
<label>Status <select id="filter-status"><option value="">All</option>${statusOptions}</select></label>
<label>Event types <input id="filter-types" placeholder="order.created, …" spellcheck="false"></label>
<span id="filter-webhook" hidden><span id="filter-webhook-url" class="foreign"></span>
<button type="button" id="filter-webhook-clear">All webhooks</button></span>
<button type="button" id="freeze" aria-pressed="false">Hold the list still</button>
<span id="shown" class="quiet"></span>
</div>
<div class="scroll tall" role="region" aria-labelledby="deliveries" tabindex="0">
<table>
<thead><tr>
<th scope="col" class="number">Sequence</th><th scope="col">Event type</th><th scope="col">Webhook</th><th scope="col">Status</th>
<th scope="col" class="number">Attempt</th><th scope="col">Outcome</th><th scope="col" class="number">Code</th>
<th scope="col" class="number">Duration</th><th scope="col">Time</th>
</tr></thead>
<tbody id="rows"></tbody>
</table>
</div>
<p id="rows-empty" class="empty">No deliveries to show.</p>
</section>
</div>
</main>
<dialog id="details" aria-labelledby="details-title">
<header>
<h2 id="details-title" class="foreign"></h2>
<button type="button" id="details-close">Close</button>
</header>
<p id="details-notice" role="alert" hidden></p>
<dl id="details-facts" class="facts"></dl>
<p class="actions">
<button type="button" id="retry" class="primary">Retry</button>
<button type="button" id="cancel">Cancel delivery</button>
</p>
<details id="details-body"><summary>Request body</summary><pre id="details-body-text" class="foreign" tabindex="0"></pre></details>
<h3>Attempts</h3>
<p id="attempts-empty" class="empty">No attempt yet.</p>
<div id="attempts"></div>
<button type="button" id="attempts-more" hidden>Show more attempts</button>
</dialog>
<script src="assets/graphql-ws.min.js"></script>
<script src="assets/delivery-list.js"></script>
<script src="assets/dashboard.js"></script>
</body>
</html>
`;

/** The dashboard, which `GET /` answers. */
export function dashboardPage(): string {
  return page;
}
