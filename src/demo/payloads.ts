import definitions from '@octokit/webhooks-examples';

export interface Payload {
  /** `github.<event>` */
  readonly type: string;
  readonly value: unknown;
  /** Minified: what must arrive as `data`, byte for byte. */
  readonly text: string;
}

/** Every example of every event that GitHub's users have contributed, in the package's order. */
export function githubPayloads(): Payload[] {
  const events: readonly { readonly name: string; readonly examples: readonly unknown[] }[] = definitions;
  return events.flatMap(({ name, examples }) => examples.map((value) => payload(`github.${name}`, value)));
}

export function payload(type: string, value: unknown): Payload {
  return { type, value, text: JSON.stringify(value) };
}
