/** The compiler options that decide what runs, as in tsconfig.json; swc only strips types, `npm run check` judges them. */
const compile = {
  swcrc: false,
  sourceMaps: 'inline',
  module: { type: 'commonjs' },
  jsc: {
    target: 'es2022',
    parser: { syntax: 'typescript', decorators: true },
    transform: { legacyDecorator: true, decoratorMetadata: true, useDefineForClassFields: false },
  },
};

/** @type {import('jest').Config} */
module.exports = {
  testEnvironment: 'node',
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  transform: {
    '^.+\\.ts$': ['@swc/jest', compile],
    // They have `import('http')`, or are ES modules, which jest's own module loader does not do: made into a `require`.
    '/(otlp-exporter-base|auto-bind)/.+\\.js$': ['@swc/jest', { swcrc: false, module: compile.module, jsc: { target: 'es2022' } }],
  },
  transformIgnorePatterns: ['/node_modules/(?!@opentelemetry/otlp-exporter-base/|auto-bind/)'],
  // The build lands in dist with a copy of the tests.
  modulePathIgnorePatterns: ['<rootDir>/dist/'],
  setupFiles: ['reflect-metadata', '<rootDir>/test/support/threads-hook.js'],
  globalSetup: '<rootDir>/test/support/global-setup.ts',
  globalTeardown: '<rootDir>/test/support/global-teardown.ts',
  reporters: ['default', '<rootDir>/test/support/tally-reporter.js'],
  testTimeout: 120_000,
  maxWorkers: 3, // many tests wait for leases and paces: two workers leave two cores idle for a third of the time
};
