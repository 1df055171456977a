const { writeFileSync } = require('node:fs');

/**
 * Counts what ran. A run in which nothing ran fails, whatever the reason; the counts go to the file that
 * LIVEHOOK_TEST_TALLY names, as `N passed, N failed`, for .ci/run to close with.
 */
module.exports = class TallyReporter {
  #ranNothing = false;

  onRunComplete(_contexts, results) {
    const passed = results.numPassedTests;
    // A file that does not even load has no tests to count, yet it failed.
    const failed = results.numFailedTests + results.numRuntimeErrorTestSuites;
    this.#ranNothing = passed + failed === 0;
    const file = process.env.LIVEHOOK_TEST_TALLY;
    if (file) writeFileSync(file, `${passed} passed, ${failed} failed\n`);
  }

  getLastError() {
    if (this.#ranNothing) return new Error('no test ran');
  }
};
