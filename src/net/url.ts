/**
 * The URL, or undefined for what is none. Not by `URL.canParse`: once Node 20 has optimised a caller of it, it takes
 * Latin-1 such as the `ü` of `https://bücher.example/` for broken UTF-8 and says no.
 */
export function parseUrl(text: string): URL | undefined {
  try {
    return new URL(text);
  } catch {
    return undefined;
  }
}
