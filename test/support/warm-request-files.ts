/**
 * Sends its parent the source files with functions that one warm GET runs, from a process that no test runner has
 * changed: emulator and sidecar as `demo` starts them, with the log of `serve`.
 */
import { once } from 'node:events';
import { Agent, get, type IncomingMessage } from 'node:http';
import { Session } from 'node:inspector/promises';
import { fileURLToPath } from 'node:url';
import { startDemo } from '../../src/cli/demo.ts';
import { openLog } from '../../src/cli/signals.ts';
import type { Log } from '../../src/core/log.ts';

const SRC = new URL('../../src/', import.meta.url);
const ROUNDS = 5;

const log = openLog({ level: 'info', format: 'json' });
let onLogged: () => void = () => undefined;
const watched: Log = {
  ...log,
  info(message, fields) {
    log.info(message, fields);
    if (message === 'request') onLogged();
  },
};
const flags = { '--listen': '127.0.0.1:0', '--admin': '127.0.0.1:0' };
const demo = await startDemo({ log: watched, flags, emulator: { kind: 'tcp', host: '127.0.0.1', port: 0 } });
const agent = new Agent({ keepAlive: true });

/** Resolves with the status when the response has ended and its line is logged. */
async function warmGet(): Promise<number | undefined> {
  const logged = new Promise<void>((resolve) => {
    onLogged = resolve;
  });
  const [res] = (await once(get(demo.exampleUrl, { agent }), 'response')) as [IncomingMessage];
  await Promise.all([logged, once(res.resume(), 'end')]);
  return res.statusCode;
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
  // Lines of the round before would be written during this one.
  await log.flush();
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
