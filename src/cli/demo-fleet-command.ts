/**
 * `demo --fleet N`: several sidecars that share their tokens through a store. Says what runs where, or how to get a store where
 * none is installed.
 */
import { SidecarError } from '../core/errors.ts';
import { createLog } from '../core/log.ts';
import { writeBounded } from '../core/stdio.ts';
import { createReport, type Line } from '../core/terminal.ts';
import type { FleetDemo, FleetDemoOptions } from './demo-fleet.ts';
import type { DemoStore } from './demo-store.ts';
import { type Flags, tcpAddress } from './flags.ts';
import { finish, openLog, untilStopped } from './signals.ts';

const OK = 0;
const FAILED = 1;
const [FEWEST, MOST] = [2, 10];

const NO_STORE = `A fleet needs a store, and neither valkey-server nor redis-server is installed here. Install one and try again:

  apt-get install valkey-server      # or: apt-get install redis-server

Or start the example for Docker, which brings a store, in a checkout of this project:

  docker compose -f deploy/compose/fleet.yaml up --build
`;

/** Returns the exit codes of `serve`, and 1 without a store. @throws SidecarError CONFIG_INVALID | SIDECAR_LISTEN_FAILED */
export async function demoFleet(flags: Flags): Promise<number> {
  const { startDemoStore } = await import('./demo-store.ts');
  const settings = {
    members: memberCount(flags['fleet']),
    emulator: tcpAddress(flags['emulator'], '--emulator'),
    listen: tcpAddress(flags['listen'] ?? '127.0.0.1:7080', '--listen'),
    admin: tcpAddress(flags['admin'] ?? '127.0.0.1:7090', '--admin'),
  };
  const store = await startDemoStore().catch((error: Error) => error.message);
  if (typeof store === 'object') return runFleet(flags, { ...settings, store });
  writeBounded(2, store === undefined ? NO_STORE : `${store}\n`);
  return FAILED;
}

type Settings = Omit<FleetDemoOptions, 'log' | 'onShutdownRequest'>;

async function runFleet(flags: Flags, settings: Settings): Promise<number> {
  const { startFleetDemo } = await import('./demo-fleet.ts');
  const once = flags['once'] === true;
  // With --once, standard output holds the responses only.
  const log = once
    ? createLog({ level: 'error', format: 'text', write: (line) => void process.stderr.write(line) })
    : openLog({ level: 'info', format: flags['json'] === true ? 'json' : 'auto' });
  const asked = Promise.withResolvers<void>();
  const starting = startFleetDemo({ ...settings, log, onShutdownRequest: asked.resolve });
  const stopped = untilStopped({ log, stop: async () => (await starting).stop(), requested: asked.promise });
  const running = await starting;
  const say = (line: Line) => {
    // A stopped terminal may delay this text, but not the stop.
    const output = { isTTY: process.stdout.isTTY, write: (text: string) => writeBounded(1, text) };
    createReport(output, flags['json'] === true).line(line);
  };
  if (once) {
    const isFine = await callEach(running, say);
    return (await running.stop()) && isFine ? OK : FAILED;
  }
  say(await textOf(running, settings.store));
  return finish(log, stopped);
}

/** One call through each sidecar; whether all worked. */
async function callEach(running: FleetDemo, say: (line: Line) => void): Promise<boolean> {
  const { request } = await import('undici');
  const statuses: number[] = [];
  for (const url of running.exampleUrls) {
    const { statusCode: status, body } = await request(url);
    await body.dump();
    statuses.push(status);
    say({ text: `${url}  ${status}`, data: { url, status } });
  }
  const tokenRequests = await running.tokenRequests();
  say({ text: `token requests: ${tokenRequests}`, data: { tokenRequests } });
  return statuses.every((status) => status === 200);
}

async function textOf(running: FleetDemo, { program, port }: DemoStore): Promise<Line> {
  const tokenRequests = await running.tokenRequests();
  const sidecars = running.sidecars.map(({ proxy }) => proxy[0]?.text ?? '');
  const admins = running.sidecars.map(({ admin }) => admin[0]?.text ?? '');
  const example = `curl ${running.exampleUrls[0]}`;
  const rows = sidecars.map((url, index) => `  sidecar ${index + 1}      ${url}   status ${admins[index]}\n`);
  const text = `
${rows.join('')}  local Aritma   ${running.emulatorUrl}   identity server, Banking, Events
  store          127.0.0.1:${port}   ${program}, in memory

  token requests ${tokenRequests} for ${sidecars.length} sidecars; now: curl ${running.emulatorUrl}/_emulator/counters
  try it:        ${example}
  stop:          Ctrl-C
`;
  const data = {
    sidecars,
    admins,
    aritma: running.emulatorUrl,
    store: `redis://127.0.0.1:${port}`,
    tokenRequests,
    try: example,
  };
  return { text, data: { message: 'demo is running', ...data } };
}

function memberCount(value: unknown): number {
  const count = /^\d{1,2}$/.test(String(value)) ? Number(value) : Number.NaN;
  if (count >= FEWEST && count <= MOST) return count;
  const problems = [{ where: 'flag --fleet', path: '', message: `must be a number from ${FEWEST} to ${MOST}` }];
  throw new SidecarError('CONFIG_INVALID', { problems });
}
