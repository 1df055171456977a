/**
 * `node --require` this file and the process writes to the file LIVEHOOK_LOOP_WATCH, a JSON line each, for how long its
 * event loop was held: `{"at": <ms since 1970, end of the hold>, "ms": <CPU time of the main thread>}`. CPU time, not
 * time on the wall: what else the machine does in the meantime does not count.
 */
const { appendFileSync, readFileSync } = require('node:fs');
const { isMainThread } = require('node:worker_threads');

const file = process.env.LIVEHOOK_LOOP_WATCH;
const TICK_MS = 5;
/** Shorter holds are everyday work. */
const LEAST_HOLD_MS = 25;

if (isMainThread && file !== undefined) {
  const main = `/proc/self/task/${process.pid}/schedstat`;
  const cpuMs = () => Number(readFileSync(main, 'utf8').split(' ')[0]) / 1e6;
  let last = cpuMs();
  setInterval(() => {
    const now = cpuMs();
    const ms = now - last;
    last = now;
    if (ms >= LEAST_HOLD_MS) appendFileSync(file, `${JSON.stringify({ at: Date.now(), ms: Math.round(ms) })}\n`);
  }, TICK_MS).unref();
}
