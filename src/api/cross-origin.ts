import type { IncomingMessage, ServerResponse } from 'node:http';
import cors from 'cors';
import { HOUR, SECOND } from '../clock';
import { parseUrl } from '../net/url';

interface Settings {
  /** Of web pages that may call the API, or every one; undefined: the hub's own. */
  readonly origins: readonly string[] | '*' | undefined;
  /** Where others reach the hub. */
  readonly publicUrl: string | undefined;
}

/** What Chromium keeps a preflight at most. A page that is not permitted any more gets no answer to read all the same. */
const PREFLIGHT_SECONDS = (2 * HOUR) / SECOND;

/**
 * Which web pages of other origins may call `/graphql` from a browser. Never with credentials: keys are sent by scripts, and
 * there are no cookies.
 */
export class CrossOrigin {
  readonly #origins: Settings['origins'];
  readonly #ownOrigin: string | undefined;
  readonly #setHeaders: ReturnType<typeof cors> | undefined;

  constructor({ origins, publicUrl }: Settings) {
    this.#origins = origins;
    this.#ownOrigin = publicUrl && parseUrl(publicUrl)?.origin;
    this.#setHeaders =
      origins &&
      cors({
        origin: origins === '*' ? origins : [...origins],
        methods: ['GET', 'POST'],
        exposedHeaders: ['retry-after', 'allow'],
        maxAge: PREFLIGHT_SECONDS,
      });
  }

  /** Sets the headers that let a browser show the answer to its page. True: it was a preflight, which is answered. */
  answers(request: IncomingMessage, response: ServerResponse): boolean {
    let isForPage = true;
    if (this.#setHeaders) {
      isForPage = false;
      this.#setHeaders(request, response, () => {
        isForPage = true;
      });
    }
    return !isForPage;
  }

  /** Whether a WebSocket may be opened: browsers leave it to the server. Whoever is no browser names no origin. */
  permitsSocket({ headers: { origin, host = '' } }: IncomingMessage): boolean {
    if (origin === undefined || this.#origins === '*') return true;
    if (this.#origins?.includes(origin) || origin === this.#ownOrigin) return true;
    const page = parseUrl(origin);
    // Proxies often pass the host on without its port.
    return page !== undefined && page.host !== '' && (page.host === host.toLowerCase() || page.hostname === host.toLowerCase());
  }
}
