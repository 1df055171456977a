import type { Clock } from '../clock';
import type { Facts } from '../facts';
import { applicationIdOf } from '../ids';
import type { Tx } from '../store/database';
import type { Diagnosis } from '../webhooks/health';
import { appendWebhookUpdate, changeOf, type LoggedWebhookUpdate, storedDiagnosis, WebhookUpdateKind } from '../webhooks/update-log';
import type { Webhook } from '../webhooks/webhook';

interface Deps {
  readonly clock: Clock;
  readonly facts: Facts;
}

type Judged = Pick<Webhook, 'id' | 'status'>;

/**
 * Changes of webhooks' health by one transaction: written down within it, where the health is another than before, and told
 * after it. The transaction may be run again from its beginning.
 */
export class UpdatesOfHealth {
  readonly #deps: Deps;
  readonly #before = new Map<string, Diagnosis>();
  readonly #logged = new Map<string, LoggedWebhookUpdate>();

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Under the lock of the application's counter. */
  async before(tx: Tx, webhook: Judged): Promise<void> {
    this.#logged.delete(webhook.id);
    this.#before.set(webhook.id, await storedDiagnosis(tx, webhook));
  }

  async after(tx: Tx, webhook: Judged): Promise<void> {
    const before = this.#before.get(webhook.id);
    const after = await storedDiagnosis(tx, webhook);
    if (before === undefined || before.health === after.health) return;
    const update = { webhookId: webhook.id, kind: WebhookUpdateKind.HEALTH, ...changeOf(before, after), at: this.#deps.clock.now() };
    const logged = await appendWebhookUpdate(tx, update);
    if (logged) this.#logged.set(webhook.id, logged);
  }

  /** After the commit. */
  tell(): void {
    for (const update of this.#logged.values())
      this.#deps.facts.webhookUpdatesLogged.emit({ applicationId: applicationIdOf(update.webhookId), updates: [update] });
  }
}
