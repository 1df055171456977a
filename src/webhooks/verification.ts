import type { Credentials } from './credentials';
import type { SigningKey } from './signing-secret';

/** A target that has to show that it wants events. */
export interface Candidate {
  readonly applicationId: string;
  readonly verification: 'CHALLENGE' | 'CLOUDEVENTS';
  readonly url: string;
  /** The webhook's own, names in lower case. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly timeoutMs: number;
  readonly signingKeys: readonly SigningKey[];
  readonly credentials: Credentials;
}

/** It may get events, or what came instead of its consent, in one sentence. */
export type Permission = { readonly allowedRatePerMinute: number | null } | { readonly problem: string; readonly isBusy?: true };
