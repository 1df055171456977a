/** An answer of a receiver that comes when the test says so. */
export function gate(): { readonly answer: () => Promise<object>; open(): void } {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { answer: async () => opened.then(() => ({})), open: () => open() };
}
