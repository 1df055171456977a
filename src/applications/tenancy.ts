import type { Core } from '../core';
import { ApiKeys } from './api-keys';
import { Applications } from './applications';
import { LastUses } from './last-uses';

/** Tenants, and the keys that let programs in. */
export class Tenancy {
  readonly applications: Applications;
  readonly apiKeys: ApiKeys;
  readonly lastUses: LastUses;

  constructor(core: Core) {
    this.applications = new Applications(core);
    this.apiKeys = new ApiKeys(core);
    this.lastUses = new LastUses(core);
  }

  start(): void {
    this.lastUses.start();
  }

  async stop(): Promise<void> {
    this.apiKeys.close();
    await this.lastUses.stop();
  }
}
