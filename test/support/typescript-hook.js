/**
 * `node --require` this file and node runs the TypeScript sources themselves, compiled as jest compiles them: tests
 * that start the program need no build, and can't meet a stale one.
 */
const { readFileSync } = require('node:fs');
const Module = require('node:module');
const { transformSync } = require('@swc/core');
const { transform } = require('../../jest.config.js');

const [, compile] = transform['^.+\\.ts$'];

Module._extensions['.ts'] = (module, filename) => {
  const { code } = transformSync(readFileSync(filename, 'utf8'), { ...compile, filename });
  module._compile(code, filename);
};
