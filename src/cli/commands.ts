/**
 * What each command does, from its flags to its exit code. A command imports the server code only if it needs it.
 */
import { isIPv6 } from 'node:net';
import { PerformanceObserver } from 'node:perf_hooks';
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';
import { stringify } from 'yaml';
import { INPUTS } from '../config/env-and-flags.ts';
import {
  forgetSecretVariables,
  type LoadedConfig,
  type LoadOptions,
  loadAdminAddress,
  loadConfig,
} from '../config/load.ts';
import { withPrograms } from '../config/secret-programs.ts';
import { ERRORS } from '../core/errors.ts';
import { createReport } from '../core/terminal.ts';
import type { Doctor } from '../sidecar/support.ts';
import { demo, emulate } from './demo-command.ts';
import { duration, type Flags, inputFlags } from './flags.ts';
import { finish, openLog, untilStopped } from './signals.ts';
import { createSupervisor } from './systemd.ts';

const OK = 0;
const NOT_IN_TIME = 10;

export const COMMANDS = {
  serve,
  check,
  demo,
  emulate,
  rotate,
  print,
  init,
  schema,
  env,
  verify,
  wait,
  status,
  shutdown,
  support,
};

async function serve(flags: Flags): Promise<number> {
  keepNurserySmall();
  compileAddressTest();
  const { startSidecar } = await import('../sidecar/sidecar.ts');
  const loaded = await load(flags);
  forgetSecretVariables(loaded.config);
  const log = openLog(loaded.config.log);
  const asked = Promise.withResolvers<void>();
  const supervisor = createSupervisor(loaded.supervisor, (errno) =>
    log.warn('cannot notify systemd; is systemd-notify installed?', { errno }),
  );
  const starting = startSidecar({ loaded, log, doctor, onShutdownRequest: asked.resolve });
  // Handle signals before anyone can observe that the process runs.
  let stopping = false;
  const stopped = untilStopped({
    log,
    async stop() {
      stopping = true;
      const told = supervisor.stopping();
      const drained = await (await starting).stop();
      await told;
      return drained;
    },
    requested: asked.promise,
    onHangup: () =>
      void starting.then(async (sidecar) => {
        supervisor.reloading();
        await sidecar.reload('SIGHUP');
        supervisor.ready('serving');
      }),
  });
  const sidecar = await starting;
  try {
    if (loaded.config.startup === 'strict') await Promise.race([sidecar.firstTokens(), stopped]);
  } catch (error) {
    // A stop request also ends the wait for the first token.
    if (stopping) return finish(log, stopped);
    await sidecar.stop();
    await log.flush();
    throw error;
  }
  supervisor.ready('serving');
  // Else V8 drops the code of functions that are not called for some garbage collections, and the first call after a pause of
  // a minute compiles it again. Only now: Node rejects cached code that was compiled under other flags.
  setFlagsFromString('--no-flush-bytecode');
  return finish(log, stopped);
}

/** Its code is loaded only when somebody wants a support file. */
const doctor: Doctor = async (load) => (await import('./doctor-text.ts')).doctorText(load);

/**
 * Both semi-spaces. V8 doubles them, so they stop at up to twice this. With half of it, calls cost a tenth more CPU time; with
 * V8's own limit, a loaded process holds some 30 MiB more for nothing.
 */
const NURSERY_BYTES = 16 * 1024 * 1024;
/** The default of V8. */
const DEFAULT_GROWTH = 2;

/**
 * Does what `--max-semi-space-size=16` does, for a process started without it. V8 reads that flag only when it creates the
 * heap, but reads the growth factor at each collection, and shrinks the nursery in quiet times. The flag changes only after
 * the nursery has grown, because Node rejects cached code that was compiled under other flags.
 */
function keepNurserySmall(): void {
  if (process.execArgv.some((argument) => /semi.space/.test(argument))) return;
  let growth = DEFAULT_GROWTH;
  const observer = new PerformanceObserver(() => {
    const nursery = getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space');
    const next = nursery && nursery.space_size >= NURSERY_BYTES ? 1 : DEFAULT_GROWTH;
    if (next !== growth) setFlagsFromString(`--semi-space-growth-factor=${next}`);
    growth = next;
  });
  observer.observe({ entryTypes: ['gc'] });
}

/**
 * Node tests every address it listens on with one large regular expression. V8 unrolls its repetitions, twice: compiled that
 * way, two tests take 15 ms of a start; without, 2 ms. The flag is as before when the next module is loaded, because V8
 * takes no cached code that was compiled under other flags.
 */
function compileAddressTest(): void {
  setFlagsFromString('--no-regexp-unroll');
  // V8 interprets an expression at first and compiles it for the second use.
  for (let use = 0; use < 2; use += 1) isIPv6('::1');
  setFlagsFromString('--regexp-unroll');
}

async function check(flags: Flags): Promise<number> {
  const { checkOnce } = await import('./check-command.ts');
  return checkOnce(flags, loadOptions(flags));
}

async function rotate(flags: Flags): Promise<number> {
  const { rotateOnce } = await import('./rotate-command.ts');
  return rotateOnce(flags, loadOptions(flags));
}

async function print(flags: Flags): Promise<number> {
  const { effectiveDocument } = await import('../config/describe.ts');
  process.stdout.write(stringify(effectiveDocument((await load(flags)).document)));
  return OK;
}

/** The doctor has the last word, if there is a secret to try. */
async function init(flags: Flags): Promise<number> {
  const { initConfig } = await import('./config-init.ts');
  const { file, hasSecret } = await initConfig(flags);
  if (!hasSecret) return ERRORS.CONFIG_INVALID.exit;
  return flags['check'] === false ? OK : check({ config: file, json: flags['json'] });
}

async function schema(): Promise<number> {
  const { jsonSchema } = await import('../config/describe.ts');
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
  const { auditVerdict } = await import('../sidecar/audit/verdict.ts');
  const head = flags['head'] === undefined ? undefined : String(flags['head']);
  const { exit, text, data } = await auditVerdict(flags['operands'] as readonly string[], head);
  createReport(process.stdout, flags['json'] === true).line({ text, data });
  return exit;
}

async function wait(flags: Flags): Promise<number> {
  const { waitFor } = await import('./control.ts');
  const probe = String(flags['for']) as Parameters<typeof waitFor>[1];
  const done = await waitFor(loadAdminAddress(loadOptions(flags)), probe, duration(flags['max'], '--max'));
  const message = done ? probe : `not ${probe} within ${String(flags['max'])}`;
  tell(flags, { probe, done, message }, done);
  return done ? OK : NOT_IN_TIME;
}

async function status(flags: Flags): Promise<number> {
  const { showStatus } = await import('./status-command.ts');
  return showStatus(loadAdminAddress(loadOptions(flags)), process.stdout, flags['json'] === true);
}

async function support(flags: Flags): Promise<number> {
  const { writeSupport } = await import('./support-command.ts');
  return writeSupport(flags, loadOptions(flags));
}

async function shutdown(flags: Flags): Promise<number> {
  const { requestShutdown } = await import('./control.ts');
  const status = await requestShutdown(loadAdminAddress(loadOptions(flags)));
  const accepted = status === 202;
  tell(flags, { accepted, message: accepted ? 'stopping' : refusal(status) }, accepted);
  return accepted ? OK : NOT_IN_TIME;
}

/** Prints a line for programs in any case, and for people only a failure: silence means success. */
function tell(
  flags: Flags,
  data: { readonly message: string; readonly [name: string]: unknown },
  isGood: boolean,
): void {
  const report = createReport(process.stdout, flags['json'] === true);
  if (report.json) report.line({ text: data.message, data });
  if (!isGood) process.stderr.write(`${data.message}\n`);
}

function refusal(status: number | undefined): string {
  if (status === undefined) return 'no sidecar responds at the admin address; check --admin, ARITMA_ADMIN and --config';
  if (status === 403) return 'the sidecar does not allow a shutdown over this address; set adminActions: true';
  return `the program at the admin address is not the admin listener of a sidecar (HTTP ${status})`;
}

async function load(flags: Flags): Promise<LoadedConfig> {
  return withPrograms((printed) => loadConfig({ ...loadOptions(flags), printed }));
}

function loadOptions(flags: Flags): LoadOptions {
  return { flags: inputFlags(flags), file: flags['config'] as string | undefined };
}
