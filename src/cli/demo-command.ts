/**
 * `emulate` and `demo`: run a local Aritma, alone or with a sidecar in front of it.
 */
import { ERRORS } from '../core/errors.ts';
import { createLog } from '../core/log.ts';
import { writeBounded } from '../core/stdio.ts';
import { createReport, type Line } from '../core/terminal.ts';
import { duration, type Flags, inputFlags, tcpAddress } from './flags.ts';
import { finish, openLog, untilStopped } from './signals.ts';

const OK = 0;

/** Returns the exit codes of `serve`; with --fleet, 1 without a store. @throws SidecarError CONFIG_INVALID | SIDECAR_LISTEN_FAILED */
export async function demo(flags: Flags): Promise<number> {
  if (flags['fleet'] !== undefined) return (await import('./demo-fleet-command.ts')).demoFleet(flags);
  const { startDemo } = await import('./demo.ts');
  const once = flags['once'] === true;
  const emulator = tcpAddress(flags['emulator'], '--emulator');
  for (const flag of ['listen', 'admin']) if (flags[flag] !== undefined) tcpAddress(flags[flag], `--${flag}`);
  // With --once, standard output holds the API's response only.
  const log = once
    ? createLog({ level: 'error', format: 'text', write: (line) => void process.stderr.write(line) })
    : openLog({ level: 'info', format: flags['json'] === true ? 'json' : 'auto' });
  const asked = Promise.withResolvers<void>();
  const starting = startDemo({ log, flags: inputFlags(flags), emulator, onShutdownRequest: asked.resolve });
  const stopped = untilStopped({ log, stop: async () => (await starting).stop(), requested: asked.promise });
  const running = await starting;
  if (once) {
    const code = await callOnce(running.exampleUrl);
    await running.stop();
    return code;
  }
  const urls = {
    sidecar: running.sidecar.proxy[0]?.text ?? '',
    admin: running.sidecar.admin[0]?.text ?? '',
    aritma: running.emulator.url,
    try: `curl ${running.exampleUrl}`,
  };
  announce(demoText(urls), flags);
  return finish(log, stopped);
}

/** Called once a stop is possible: a stopped terminal may delay this text, but not the stop. */
function announce(line: Line, flags: Flags): void {
  const output = { isTTY: process.stdout.isTTY, write: (text: string) => writeBounded(1, text) };
  createReport(output, flags['json'] === true).line(line);
}

function demoText(urls: { sidecar: string; admin: string; aritma: string; try: string }): Line {
  const text = `
  sidecar        ${urls.sidecar}   call this, without credentials
  health, status ${urls.admin}   /livez /readyz /startupz /metrics /status
  local Aritma   ${urls.aritma}   identity server, Banking, Events

  try it:        ${urls.try}
  stop:          Ctrl-C
`;
  return { text, data: { message: 'demo is running', ...urls } };
}

async function callOnce(url: string): Promise<number> {
  const { request } = await import('undici');
  const response = await request(url);
  process.stdout.write(`${await response.body.text()}\n`);
  return response.statusCode === 200 ? OK : ERRORS.UPSTREAM_INVALID.exit;
}

/** Returns the exit codes of `serve`. @throws SidecarError CONFIG_INVALID | SIDECAR_LISTEN_FAILED */
export async function emulate(flags: Flags): Promise<number> {
  const { openEmulator } = await import('./demo.ts');
  const { ADMIN_CLIENT, DEMO_CLIENT } = await import('../emulator/store.ts');
  const emulator = await openEmulator(tcpAddress(flags['listen'], '--listen'), {
    tokenLifetimeS: duration(flags['tokenLifetime'], '--token-lifetime') / 1000,
    iam: {
      createResponse: flags['iamResponses'] === 'empty' ? 'empty' : 'body',
      lenient: flags['lenient'] === true,
      clientCacheS: duration(flags['clientCache'], '--client-cache') / 1000,
    },
    ...(typeof flags['state'] === 'string' && { stateFile: flags['state'] }),
  });
  const credentials = { clientId: DEMO_CLIENT.clientId, clientSecret: DEMO_CLIENT.secrets[0]?.value };
  const admin = { adminClientId: ADMIN_CLIENT.clientId, adminClientSecret: ADMIN_CLIENT.secrets[0]?.value };
  createReport(process.stdout, flags['json'] === true).line({
    text: `
  local Aritma     ${emulator.url}
  token endpoint   ${emulator.url}/connect/token
  Banking, Events  ${emulator.url}/banking/api   ${emulator.url}/events
  IAM              ${emulator.url}/core/iam
  client           ${credentials.clientId}   secret ${credentials.clientSecret}   (public, for tests only)
  administrator    ${admin.adminClientId}   secret ${admin.adminClientSecret}   (scope services.iam)

  run a sidecar:   ARITMA_ENVIRONMENT=emulator ARITMA_CLIENT_ID=${credentials.clientId} ARITMA_CLIENT_SECRET=${credentials.clientSecret} aritma-sidecar
  stop:            Ctrl-C
`,
    data: { message: 'local Aritma is running', url: emulator.url, ...credentials, ...admin },
  });
  const log = openLog({ level: 'warn', format: 'auto' });
  return finish(log, untilStopped({ log, stop: () => emulator.close().then(() => true) }));
}
