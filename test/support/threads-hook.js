/** The hub hands its `--require` options to its threads, so that in tests they run the TypeScript sources as well. */
process.execArgv.push('--require', require.resolve('./typescript-hook.js'));
