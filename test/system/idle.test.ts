// How often a sidecar wakes a processor while nobody calls it. Counted from outside, all threads, also those of V8 and libuv.
import { readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { wakeUps } from '../bench/load/processes.ts';
import { loadWithGets } from '../support/keep-alive-load.ts';
import { type SidecarProcess, type SidecarProcessOptions, startSidecarProcess } from '../support/sidecar-process.ts';
import { startTokenServer } from '../support/token-server.ts';
import { startUpstream } from '../support/upstream.ts';

const WINDOW_S = 8;
/** The start leaves garbage behind, and files and event loop are looked at more often for some seconds. */
const WINDOWS = 6;

/** The lowest number a minute of several windows: what comes again and again is in each. Ends with the first one below. */
async function wakeUpsPerMinute({ pid }: SidecarProcess, enough: number): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let window = 0; window < WINDOWS && least > enough; window += 1) {
    const [before, startedAt] = [wakeUps([pid]), performance.now()];
    await pause(WINDOW_S * 1000);
    least = Math.min(least, ((wakeUps([pid]) - before) * 60_000) / (performance.now() - startedAt));
  }
  return least;
}

async function start(more: Partial<SidecarProcessOptions> = {}): Promise<SidecarProcess> {
  const tokens = await startTokenServer();
  onTestFinished(tokens.close);
  const upstream = await startUpstream(() => 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  onTestFinished(async () => await upstream[Symbol.asyncDispose]());
  const sidecar = await startSidecarProcess({ upstream: upstream.url, tokenEndpoint: tokens.url, ...more });
  onTestFinished(async () => await sidecar[Symbol.asyncDispose]());
  return sidecar;
}

describe.runIf(process.platform === 'linux')('a sidecar that nobody calls', () => {
  it('wakes at most 150 times a minute, also after calls, and still notices a new secret', async () => {
    const sidecar = await start();
    await loadWithGets(sidecar.port, '/api/x', 200);
    expect(await wakeUpsPerMinute(sidecar, 150)).toBeLessThanOrEqual(150);
    writeFileSync(join(readlinkSync(`/proc/${sidecar.pid}/cwd`), 'secret'), 'another-secret-of-the-test');
    await expect.poll(() => sidecar.metric('aritma_sidecar_config_generation')).toBe(2);
  });

  it('wakes at most 300 times a minute where systemd watches it, as its unit has it', async () => {
    const sidecar = await start({ env: { NOTIFY_SOCKET: '/nonexistent', WATCHDOG_USEC: '30000000' } });
    expect(await wakeUpsPerMinute(sidecar, 300)).toBeLessThanOrEqual(300);
  });

  it('would be found out if it had a timer of 10 ms', async () => {
    const sidecar = await start({ before: 'setInterval(() => undefined, 10).unref();' });
    expect(await wakeUpsPerMinute(sidecar, Number.MAX_VALUE)).toBeGreaterThan(1000);
  });
});
