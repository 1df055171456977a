/**
 * To be sent as `content-security-policy` with the page. Styles may be inline because GraphiQL's dialogs inject a
 * `<style>` element; its fonts and cursors are `data:` URLs inside its style sheet. `connect-src 'self'` covers
 * `ws:` and `wss:` to the same host.
 */
export const GRAPHIQL_CSP = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  'font-src data:',
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>Livehook GraphiQL</title>
<link rel="icon" href="assets/livehook.svg" type="image/svg+xml">
<link rel="stylesheet" href="assets/graphiql.min.css">
<link rel="stylesheet" href="assets/livehook-graphiql.css">
</head>
<body>
<div id="graphiql">Loading…</div>
<noscript>GraphiQL needs JavaScript.</noscript>
<script src="assets/react.production.min.js"></script>
<script src="assets/react-dom.production.min.js"></script>
<script src="assets/graphql-ws.min.js"></script>
<script src="assets/graphiql.min.js"></script>
<script src="assets/livehook-graphiql.js"></script>
</body>
</html>
`;

/** What `GET /graphql` answers to a browser. It loads nothing from another host. */
export function graphiqlPage(): string {
  return page;
}

export const graphiqlStyle = `html, body, #graphiql { height: 100%; margin: 0; }
.livehook-logo { color: inherit; font-size: 1.15rem; font-weight: 600; text-decoration: none; }
`;

const defaultQuery = `# Livehook
#
# Your key goes into the Headers tab below, for queries,
# mutations and subscriptions alike:
#   {"authorization": "Bearer <key>"}
# An application's key acts for its own application;
# an admin key passes applicationId.
#
# Application  a tenant: owns webhooks, events, keys
# Event type   a dotted name, such as order.created
# Event        one thing that happened; immutable, with
#              a sequence: 1, 2, 3 … per application
# Webhook      what a partner registered: a target URL,
#              the events it wants, how to send them
# Delivery     one event on its way to one webhook
# Attempt      one HTTP request of a delivery
#
# To try, one after the other:
#
# mutation {
#   webhookCreate(input: {
#     url: "https://partner.example/hook"
#     eventTypes: ["order.*"]
#   }) {
#     webhook { id url status }
#     signingSecret
#     userErrors { field message code }
#   }
# }
#
# subscription {
#   event(types: ["order.*"]) { sequence type payload }
# }
#
# mutation {
#   eventPublish(input: {
#     type: "order.created"
#     payload: { order: { no: 1 } }
#   }) {
#     event { id sequence }
#     userErrors { field message code }
#   }
# }
#
# query {
#   deliveries(first: 10) {
#     nodes { id status event { type } webhook { url } }
#   }
# }

query WhoAmI {
  viewer {
    admin
    application {
      id
      key
      name
    }
  }
}
`;

/**
 * Runs in the browser. The key stands in the headers editor and nowhere else, so both transports take it from there.
 * GraphiQL's history keeps headers whatever its settings say: its storage is the session's, never the disk's.
 */
export const graphiqlScript = String.raw`(function () {
  'use strict';

  const KEY_OF_DASHBOARD = 'livehook.apiKey';
  const KEY_EDIT_PAUSE_MS = 600;
  const MIN_RETRY_MS = 1000;
  const MAX_RETRY_MS = 5000; // someone is looking
  // Streams that resume from a cursor; the others begin with the present state.
  const LOGS = ['event', 'deliveryUpdates'];
  const CURSOR = 'livehookCursor';
  const MISSED = 'The connection broke before the first result: what happened until it was back is not shown.';
  const endpoint = location.pathname;
  const socketUrl = (location.protocol === 'https:' ? 'wss:' : 'ws:') + '//' + location.host + endpoint;

  function retryMs(retries) {
    return Math.min(MAX_RETRY_MS, MIN_RETRY_MS * Math.pow(2, retries)) * (0.5 + Math.random());
  }

  function authorizationOf(headers) {
    const name = Object.keys(headers || {}).find(function (key) { return key.toLowerCase() === 'authorization'; });
    return name ? String(headers[name]) : '';
  }

  function operationOf(params, options) {
    const definitions = (options && options.documentAST && options.documentAST.definitions) || [];
    const operations = definitions.filter(function (node) { return node.kind === 'OperationDefinition'; });
    const named = operations.find(function (node) { return node.name && node.name.value === params.operationName; });
    return named || operations[0];
  }

  // Where to begin again after a connection that broke: the query as it is written, but for a cursor that is asked for beside it.
  // Undefined: it has none.
  function resumable(params, operation) {
    const field = operation.selectionSet.selections[0];
    const hasPlace = field && field.loc && field.loc.source && field.loc.source.body === params.query;
    if (!hasPlace || field.kind !== 'Field' || !LOGS.includes(field.name.value) || !field.selectionSet) return undefined;
    const after = field.arguments.find(function (argument) { return argument.name.value === 'after'; });
    const end = field.selectionSet.loc.end - 1;
    const rest = params.query.slice(field.name.loc.end, end);

    const variable = after && after.value.kind === 'Variable' ? after.value.name.value : undefined;

    function afterCursor(cursor) {
      const value = JSON.stringify(cursor);
      const at = function (offset) { return offset - field.name.loc.end; };
      if (after) return rest.slice(0, at(after.value.loc.start)) + value + rest.slice(at(after.value.loc.end));
      const first = field.arguments[0];
      if (first) return rest.slice(0, at(first.loc.start)) + 'after: ' + value + ', ' + rest.slice(at(first.loc.start));
      return '(after: ' + value + ')' + rest;
    }

    return {
      field: field.alias ? field.alias.value : field.name.value,
      variable: variable,
      hasBegin: variable ? Boolean(params.variables && params.variables[variable]) : Boolean(after) && after.value.kind !== 'NullValue',
      query: function (cursor) {
        const head = cursor === undefined ? rest : afterCursor(cursor);
        return params.query.slice(0, field.name.loc.end) + head + ' ' + CURSOR + ': cursor ' + params.query.slice(end);
      },
    };
  }

  // Takes the cursor out of a result, which shows what was asked for, and puts it where the next connection begins.
  function moveOn(payload, stream, result) {
    const shown = result.data && result.data[stream.field];
    if (!shown || typeof shown[CURSOR] !== 'string') return false;
    const cursor = shown[CURSOR];
    delete shown[CURSOR];
    if (stream.variable) payload.variables = Object.assign({}, payload.variables, { [stream.variable]: cursor });
    else payload.query = stream.query(cursor);
    return true;
  }

  // As GraphQL errors: of an Error, GraphiQL would show the stack.
  function readable(reason) {
    if (Array.isArray(reason)) return reason;
    if (reason && typeof reason.code === 'number') {
      return [{ message: 'The WebSocket closed: ' + reason.code + ' ' + (reason.reason || '(no reason given)') }];
    }
    return [{ message: 'The WebSocket could not be opened.' }];
  }

  // A connection of its own: its caller is settled when it opens.
  function subscribe(params, headers, operation) {
    const authorization = authorizationOf(headers);
    const stream = resumable(params, operation);
    // graphql-ws sends this same object again when it reconnects.
    const payload = Object.assign({}, params, stream && { query: stream.query(undefined) });
    let hasConnected = false;
    let hasCursor = Boolean(stream) && stream.hasBegin;
    let mayHaveMissed = false;
    return {
      subscribe: function (observer) {
        const client = graphqlWs.createClient({
          url: socketUrl,
          connectionParams: authorization ? { authorization: authorization } : undefined,
          // A hub that was never reached is an error to show; one that stops comes back.
          retryAttempts: Infinity,
          shouldRetry: function () { return hasConnected; },
          retryWait: function (retries) { return new Promise(function (done) { setTimeout(done, retryMs(retries)); }); },
          on: {
            connected: function (socket, acknowledgement, isAgain) {
              hasConnected = true;
              mayHaveMissed = isAgain && Boolean(stream) && !hasCursor;
            },
          },
        });
        client.subscribe(payload, {
          next: function (result) {
            if (stream && moveOn(payload, stream, result)) hasCursor = true;
            const missed = mayHaveMissed && { extensions: Object.assign({}, result.extensions, { livehook: MISSED }) };
            mayHaveMissed = false;
            observer.next(Object.assign({}, result, missed));
          },
          error: function (reason) { observer.error(readable(reason)); },
          complete: function () { observer.complete(); },
        });
        return { unsubscribe: function () { client.dispose(); } };
      },
    };
  }

  async function post(params, headers) {
    const response = await fetch(endpoint, {
      method: 'POST',
      credentials: 'omit',
      headers: Object.assign(
        { accept: 'application/graphql-response+json, application/json', 'content-type': 'application/json' },
        headers
      ),
      body: JSON.stringify(params),
    });
    const text = await response.text();
    try {
      return JSON.parse(text);
    } catch (notJson) {
      return { errors: [{ message: 'Expected JSON, got HTTP ' + response.status + ': ' + text.slice(0, 500) }] };
    }
  }

  // The schema is asked for as soon as the page opens, when there may be no key yet.
  function isTooEarly(params, headers) {
    return params.operationName === 'IntrospectionQuery' && !authorizationOf(headers).replace(/^bearer\b/i, '').trim();
  }

  function fetcher(params, options) {
    const headers = options && options.headers;
    if (isTooEarly(params, headers)) return Promise.resolve({ errors: [{ message: 'Put your API key into the Headers tab.' }] });
    const operation = operationOf(params, options);
    const isSubscription = Boolean(operation) && operation.operation === 'subscription';
    return isSubscription ? subscribe(params, headers, operation) : post(params, headers);
  }

  function headersFromDashboard() {
    const key = sessionStorage.getItem(KEY_OF_DASHBOARD) || '';
    return JSON.stringify({ authorization: 'Bearer ' + key }, null, 2);
  }

  const root = ReactDOM.createRoot(document.getElementById('graphiql'));

  function render() {
    root.render(
      React.createElement(
        GraphiQL,
        {
          // A new function makes GraphiQL ask for the schema again.
          fetcher: function (params, options) { return fetcher(params, options); },
          storage: sessionStorage,
          shouldPersistHeaders: true,
          showPersistHeadersSettings: false,
          isHeadersEditorEnabled: true,
          defaultEditorToolsVisibility: 'headers',
          defaultHeaders: headersFromDashboard(),
          defaultQuery: DEFAULT_QUERY,
          onEditHeaders: headersEdited,
        },
        React.createElement(GraphiQL.Logo, null, React.createElement('a', { href: './', className: 'livehook-logo' }, 'Livehook'))
      )
    );
  }

  let known = authorizationIn(headersFromDashboard());
  let pause;

  function authorizationIn(text) {
    try {
      return authorizationOf(JSON.parse(text || '{}'));
    } catch (stillTyping) {
      return known;
    }
  }

  function headersEdited(text) {
    clearTimeout(pause);
    pause = setTimeout(function () {
      const authorization = authorizationIn(text);
      if (authorization === known) return;
      known = authorization;
      render();
    }, KEY_EDIT_PAUSE_MS);
  }

  render();
})();
`.replace('DEFAULT_QUERY', () => JSON.stringify(defaultQuery));
