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
  const endpoint = location.pathname;
  const socketUrl = (location.protocol === 'https:' ? 'wss:' : 'ws:') + '//' + location.host + endpoint;

  // One connection per key: a socket's caller is settled when it opens. Idle ones close by themselves.
  const clients = new Map();

  function clientFor(authorization) {
    let client = clients.get(authorization);
    if (!client) {
      client = graphqlWs.createClient({
        url: socketUrl,
        connectionParams: authorization ? { authorization: authorization } : undefined,
        // A subscription resumed without its cursor would skip events unseen: say that it ended instead.
        retryAttempts: 0,
      });
      clients.set(authorization, client);
    }
    return client;
  }

  function authorizationOf(headers) {
    const name = Object.keys(headers || {}).find(function (key) { return key.toLowerCase() === 'authorization'; });
    return name ? String(headers[name]) : '';
  }

  function isSubscription(params, options) {
    const definitions = (options && options.documentAST && options.documentAST.definitions) || [];
    const operations = definitions.filter(function (node) { return node.kind === 'OperationDefinition'; });
    const named = operations.find(function (node) { return node.name && node.name.value === params.operationName; });
    const chosen = named || operations[0];
    return Boolean(chosen) && chosen.operation === 'subscription';
  }

  // As GraphQL errors: of an Error, GraphiQL would show the stack.
  function readable(reason) {
    if (Array.isArray(reason)) return reason;
    if (reason && typeof reason.code === 'number') {
      return [{ message: 'The WebSocket closed: ' + reason.code + ' ' + (reason.reason || '(no reason given)') }];
    }
    return [{ message: 'The WebSocket could not be opened.' }];
  }

  function subscribe(params, headers) {
    const client = clientFor(authorizationOf(headers));
    return {
      subscribe: function (observer) {
        const unsubscribe = client.subscribe(params, {
          next: function (result) { observer.next(result); },
          error: function (reason) { observer.error(readable(reason)); },
          complete: function () { observer.complete(); },
        });
        return { unsubscribe: unsubscribe };
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
    return isSubscription(params, options) ? subscribe(params, headers) : post(params, headers);
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
