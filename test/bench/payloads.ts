const BYTES = 1_024;

/** An order of exactly 1 KB as minified JSON, each with another number. */
export function payloadText(number: number): string {
  const head =
    `{"order":{"no":${number},"customer":{"id":"cus_${number % 997}","name":"Ada Lovelace","email":"ada@example.com"},` +
    `"currency":"EUR","total":${(number % 9_000) + 100},"lines":[` +
    [1, 2, 3].map((line) => `{"sku":"sku-${line}","quantity":${line},"price":${line * 10}}`).join(',') +
    `],"note":"`;
  return `${head}${'x'.repeat(BYTES - head.length - 3)}"}}`;
}
