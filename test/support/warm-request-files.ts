/**
 * Sends its parent the source files with functions that one warm GET runs, from a process that no test runner has
 * changed: emulator and sidecar as `demo` starts them, with the log of `serve`.
 */
import { Agent, get } from 'node:http';
import { Session } from 'node:inspector/promises';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startDemo } from '../../src/cli/demo.ts';
import { openLog } from '../../src/cli/signals.ts';

const SRC = new URL('../../src/', import.meta.url);
/** For the log line, which is written when the response is closed. */
const AFTERWARDS_MS = 20;
const ROUNDS = 5;

const log = openLog({ level: 'info', format: 'json' });
const flags = { '--listen': '127.0.0.1:0', '--admin': '127.0.0.1:0' };
const demo = await startDemo({ log, flags, emulator: { kind: 'tcp', host: '127.0.0.1', port: 0 } });
const agent = new Agent({ keepAlive: true });

function warmGet(): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const done = (status: number | undefined) => setTimeout(AFTERWARDS_MS).then(() => resolve(status));
    get(demo.exampleUrl, { agent }, (res) => res.resume().once('end', () => done(res.statusCode))).once(
      'error',
      reject,
    );
  });
}

/** Files with a function that was called between two moments. */
async function called(session: Session): Promise<string[]> {
  const { result } = await session.post('Profiler.takePreciseCoverage');
  return result
    .filter(
      ({ url, functions }) => url.startsWith(SRC.href) && functions.some(({ ranges }) => (ranges[0]?.count ?? 0) > 0),
    )
    .map(({ url }) => fileURLToPath(url).slice(fileURLToPath(SRC).length).replaceAll('\\', '/'));
}

// Now connections are open, and counters and log exist.
for (let count = 0; count < 3; count += 1) await warmGet();
const session = new Session();
session.connect();
await session.post('Profiler.enable');
await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false });
// Kept only if it runs in several rounds: timers that check files or memory run in at most one of them.
let [status, files] = [0, [] as string[]];
for (let round = 0; round < ROUNDS; round += 1) {
  await called(session);
  status = (await warmGet()) ?? 0;
  const now = await called(session);
  files = round === 0 ? now : files.filter((file) => now.includes(file));
}
files = files.filter((file) => !file.startsWith('emulator/')).sort();
session.disconnect();
process.send?.({ status, files });
agent.destroy();
await demo.stop();
await log.flush();
process.disconnect?.();
