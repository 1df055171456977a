import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AbusedHub } from '../support/abused-hub';

describe('The watch over a hub under abuse', () => {
  test('finds nothing where nothing is wrong', async () => {
    const hub = await AbusedHub.start();
    try {
      const served = await hub.expectServed(async () => {
        for (let times = 0; times < 20; times++) await hub.admin.query('{ viewer { admin } }');
      });
      expect(served.publishes).toBeGreaterThan(0);
      expect(served.peakMemoryBytes).toBeGreaterThan(0);
    } finally {
      await hub.stop();
    }
  });

  test('notices an event loop that is held', () => {
    const folder = mkdtempSync(join(tmpdir(), 'livehook-loop-'));
    const file = join(folder, 'holds.jsonl');
    const hold =
      'setTimeout(() => { const end = process.cpuUsage().user + 4e5; while (process.cpuUsage().user < end); }, 50); setTimeout(() => {}, 500)';
    spawnSync(process.execPath, ['--require', join(__dirname, '../support/loop-watch.js'), '-e', hold], {
      env: { LIVEHOOK_LOOP_WATCH: file },
    });
    const holds = readFileSync(file, 'utf8')
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { ms: number }).ms);
    expect(Math.max(...holds)).toBeGreaterThanOrEqual(300);
    rmSync(folder, { recursive: true });
  });
});
