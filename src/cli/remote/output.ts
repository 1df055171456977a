/** Whether people read standard output: else it is JSON lines. */
export function isForPeople({ json }: { readonly json?: true }): boolean {
  return json !== true && process.stdout.isTTY === true;
}

/** Waits until a slow reader has taken it; a pipe that is closed ends the command. */
export function print(line: string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(`${line}\n`, (error) => (error ? reject(error) : resolve()));
  });
}

const CODES = { red: 31, green: 32, yellow: 33, grey: 90 } as const;

/** Colours are for terminals. */
export function coloured(text: string, colour: keyof typeof CODES): string {
  return process.stdout.isTTY && process.stdout.hasColors() ? `\x1b[${CODES[colour]}m${text}\x1b[0m` : text;
}

/** What others have written, without what would move the cursor. */
export function plain(text: string): string {
  return text.replace(/\p{Cc}/gu, ' ');
}
