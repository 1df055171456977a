import type { Core } from '../../core';
import { AddressPolicy } from '../../net/address-policy';
import { systemLookup } from '../../net/system-lookup';
import type { Exchange, OutgoingRequest } from './exchange';
import { OAuthSender } from './http/oauth';
import { Sender } from './http/sender';

/** The way out for every request that a tenant can cause. */
export class Outbound {
  /** Where requests may go. */
  readonly policy: AddressPolicy;
  readonly #sender: Sender;
  readonly #authorized: OAuthSender;

  constructor({ config, clock, log, userAgent }: Core) {
    this.policy = new AddressPolicy(config.allowedTargets, { denied: config.deniedTargets, ports: config.allowedPorts });
    const lookup = systemLookup({ clock, servers: config.dnsServers });
    this.#sender = new Sender({ policy: this.policy, clock, log, lookup, proxy: config.egressProxy });
    this.#authorized = new OAuthSender({ clock, userAgent, sender: this.#sender });
  }

  /** Never rejects: what went wrong is in the exchange. */
  send(request: OutgoingRequest): Promise<Exchange> {
    return this.#authorized.send(request);
  }

  stop(): Promise<void> {
    return this.#sender.close();
  }
}
