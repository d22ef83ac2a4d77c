/**
 * What each command does, from its flags to its exit code. Servers are imported by the commands that need them.
 */
import { stringify } from 'yaml';
import type { Finding } from './check/finding.ts';
import { INPUTS } from './config/inputs.ts';
import {
  forgetSecretVariables,
  type LoadedConfig,
  type LoadOptions,
  loadAdminAddress,
  loadConfig,
} from './config/load.ts';
import { type Address, parseAddress, parseDurationMs } from './config/values.ts';
import { ERRORS, SidecarError } from './errors.ts';
import { untilStopped } from './lifecycle.ts';
import { createLog, type Log } from './log.ts';
import { createReport, type Report } from './report.ts';
import { createSupervisor } from './systemd.ts';

/** Values as commander hands them over, by camel-cased flag. */
export type Flags = Readonly<Record<string, string | boolean | undefined>>;

const OK = 0;
const NOT_IN_TIME = 10;

export const COMMANDS = { serve, check, demo, emulate, print, schema, env, verify, wait, shutdown };

async function serve(flags: Flags): Promise<number> {
  const { startSidecar } = await import('./serve.ts');
  const loaded = loadConfig(loadOptions(flags));
  forgetSecretVariables(loaded.config);
  const log = openLog(loaded.config.log);
  const asked = Promise.withResolvers<void>();
  const supervisor = createSupervisor(loaded.supervisor, (errno) =>
    log.warn('systemd cannot be told anything; is systemd-notify installed?', { errno }),
  );
  const starting = startSidecar({ loaded, log, onShutdownRequest: asked.resolve });
  // Signals count from the first moment somebody can know that it runs.
  const stopped = untilStopped({
    log,
    async stop() {
      supervisor.stopping();
      return (await starting).stop();
    },
    requested: asked.promise,
    onHangup: () =>
      void starting.then((sidecar) => {
        supervisor.reloading();
        sidecar.reload('SIGHUP');
        supervisor.ready('serving');
      }),
  });
  const sidecar = await starting;
  try {
    if (loaded.config.startup === 'strict') await Promise.race([sidecar.firstTokens(), stopped]);
  } catch (error) {
    await sidecar.stop();
    await log.flush();
    throw error;
  }
  supervisor.ready('serving');
  return finish(log, stopped);
}

async function check(flags: Flags): Promise<number> {
  const { diagnose } = await import('./check/doctor.ts');
  const { findingText, summaryText } = await import('./check/text.ts');
  const report = createReport(process.stdout, flags['json'] === true);
  const findings: Finding[] = [];
  const onFinding = (finding: Finding) => {
    findings.push(finding);
    report.line({ text: findingText(finding), data: { ...finding } });
  };
  const code = await diagnose(loadOptions(flags), { upstream: flags['upstream'] !== false, onFinding });
  // Programs count for themselves.
  if (!report.json) report.line({ text: summaryText(findings), data: {} });
  return code;
}

async function demo(flags: Flags): Promise<number> {
  const { startDemo } = await import('./demo.ts');
  const once = flags['once'] === true;
  const emulator = tcpAddress(flags['emulator'], '--emulator');
  for (const flag of ['listen', 'admin']) if (flags[flag] !== undefined) tcpAddress(flags[flag], `--${flag}`);
  // With --once, standard output is the API's answer and nothing else.
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
  announceDemo(createReport(process.stdout, flags['json'] === true), urls);
  return finish(log, stopped);
}

function announceDemo(report: Report, urls: { sidecar: string; admin: string; aritma: string; try: string }): void {
  const text = `
  sidecar        ${urls.sidecar}   what a legacy program calls, without credentials
  health, status ${urls.admin}   /livez /readyz /startupz /metrics /status
  local Aritma   ${urls.aritma}   identity server, Banking, Events

  try it:        ${urls.try}
  stop:          Ctrl-C
`;
  report.line({ text, data: { message: 'demo is running', ...urls } });
}

async function callOnce(url: string): Promise<number> {
  const { request } = await import('undici');
  const answer = await request(url);
  process.stdout.write(`${await answer.body.text()}\n`);
  return answer.statusCode === 200 ? OK : ERRORS.UPSTREAM_INVALID.exit;
}

async function emulate(flags: Flags): Promise<number> {
  const { openEmulator } = await import('./demo.ts');
  const { DEMO_CLIENT } = await import('./emulator/store.ts');
  const tokenLifetimeS = duration(flags['tokenLifetime'], '--token-lifetime') / 1000;
  const emulator = await openEmulator(tcpAddress(flags['listen'], '--listen'), tokenLifetimeS);
  const [secret] = DEMO_CLIENT.secrets;
  const credentials = { clientId: DEMO_CLIENT.clientId, clientSecret: secret?.value };
  createReport(process.stdout, flags['json'] === true).line({
    text: `
  local Aritma     ${emulator.url}
  token endpoint   ${emulator.url}/connect/token
  Banking, Events  ${emulator.url}/banking/api   ${emulator.url}/events
  client           ${credentials.clientId}   secret ${credentials.clientSecret}   (public, for tests only)

  sidecar for it:  ARITMA_ENVIRONMENT=emulator ARITMA_CLIENT_ID=${credentials.clientId} ARITMA_CLIENT_SECRET=${credentials.clientSecret} aritma-sidecar
  stop:            Ctrl-C
`,
    data: { message: 'local Aritma is running', url: emulator.url, ...credentials },
  });
  const log = openLog({ level: 'warn', format: 'auto' });
  return finish(log, untilStopped({ log, stop: () => emulator.close().then(() => true) }));
}

async function print(flags: Flags): Promise<number> {
  const { effectiveDocument } = await import('./config/describe.ts');
  process.stdout.write(stringify(effectiveDocument(loadConfig(loadOptions(flags)).document)));
  return OK;
}

async function schema(): Promise<number> {
  const { jsonSchema } = await import('./config/describe.ts');
  process.stdout.write(`${JSON.stringify(jsonSchema(), null, 2)}\n`);
  return OK;
}

async function env(): Promise<number> {
  const inputs = [{ env: 'ARITMA_CONFIG', about: 'path of the configuration file' }, ...INPUTS];
  const width = Math.max(...inputs.map((input) => input.env.length));
  for (const input of inputs) process.stdout.write(`${input.env.padEnd(width)}  ${input.about}\n`);
  return OK;
}

async function verify(flags: Flags): Promise<number> {
  const { judgeAuditLog } = await import('./audit/judgement.ts');
  const head = flags['head'] === undefined ? undefined : String(flags['head']);
  const { exit, text, data } = await judgeAuditLog(String(flags['operand']), head);
  createReport(process.stdout, flags['json'] === true).line({ text, data });
  return exit;
}

async function wait(flags: Flags): Promise<number> {
  const { waitFor } = await import('./control.ts');
  const probe = String(flags['for']) as Parameters<typeof waitFor>[1];
  const done = await waitFor(loadAdminAddress(loadOptions(flags)), probe, duration(flags['max'], '--max'));
  if (!done) process.stderr.write(`not ${probe} within ${String(flags['max'])}\n`);
  return done ? OK : NOT_IN_TIME;
}

async function shutdown(flags: Flags): Promise<number> {
  const { requestShutdown } = await import('./control.ts');
  const status = await requestShutdown(loadAdminAddress(loadOptions(flags)));
  if (status === 202) return OK;
  process.stderr.write(`${refusal(status)}\n`);
  return NOT_IN_TIME;
}

function refusal(status: number | undefined): string {
  if (status === undefined) return 'no sidecar answers at its admin address; see --admin, ARITMA_ADMIN and --config';
  if (status === 403) return 'it does not allow that; set adminActions: true';
  return `what answers at the admin address is no admin listener of a sidecar (HTTP ${status})`;
}

function loadOptions(flags: Flags): LoadOptions {
  return { flags: inputFlags(flags), file: flags['config'] as string | undefined };
}

/** Back from commander's camel case to the names of the option table. */
function inputFlags(flags: Flags): Record<string, string> {
  const given: Record<string, string> = {};
  for (const { flag } of INPUTS) {
    const value = flag && flags[flag.slice(2).replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())];
    if (flag !== undefined && typeof value === 'string') given[flag] = value;
  }
  return given;
}

function openLog({ level, format }: LoadedConfig['config']['log']): Log {
  const text = format === 'text' || (format === 'auto' && process.stdout.isTTY);
  return createLog({ level, format: text ? 'text' : 'json' });
}

async function finish(log: Log, code: Promise<number>): Promise<number> {
  const result = await code;
  await log.flush();
  return result;
}

function tcpAddress(value: unknown, flag: string): Extract<Address, { kind: 'tcp' }> {
  const address = usable(() => parseAddress(String(value)), flag);
  if (address.kind !== 'tcp') throw invalidFlag(flag, 'must be host:port');
  return address;
}

function duration(value: unknown, flag: string): number {
  return usable(() => parseDurationMs(String(value)), flag);
}

function usable<T>(parse: () => T, flag: string): T {
  try {
    return parse();
  } catch (error) {
    throw invalidFlag(flag, (error as Error).message);
  }
}

function invalidFlag(flag: string, message: string): SidecarError {
  return new SidecarError('CONFIG_INVALID', { problems: [{ where: `flag ${flag}`, path: '', message }] });
}
