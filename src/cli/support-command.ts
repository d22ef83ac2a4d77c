/**
 * `support`: writes the support file. What this machine knows without the sidecar is always in it; what only the running
 * sidecar knows, if it responds. The file is complete or not there, is for its owner only, and replaces no other.
 */
import { link, lstat, open, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { type LoadedConfig, type LoadOptions, loadAdminAddress, loadConfig } from '../config/load.ts';
import type { Address } from '../config/parsers.ts';
import { type PrintedBy, withPrograms } from '../config/secret-programs.ts';
import { configurationText, secretsIn } from '../config/support-section.ts';
import { SidecarError } from '../core/errors.ts';
import { writeFailure } from '../core/file-errors.ts';
import { supportFile, supportFileName } from '../core/support-file.ts';
import { processSection, type Section, stateSections } from '../core/support-sections.ts';
import { createReport } from '../core/terminal.ts';
import { formatAddress } from '../net/listen.ts';
import { requestText } from './control.ts';
import { doctorText } from './doctor-text.ts';
import type { Flags } from './flags.ts';

const OK = 0;
const STDOUT = '-';

/** Writes the file and says where it is. @throws SidecarError CONFIG_INVALID when the file cannot be written */
export async function writeSupport(flags: Flags, options: LoadOptions): Promise<number> {
  const target = flags['output'] === undefined ? supportFileName(new Date()) : String(flags['output']);
  if (target === STDOUT) {
    const text = await collect(options);
    await print(text);
    return OK;
  }
  const file = resolve(target);
  // Before the doctor takes its time.
  if (await exists(file)) throw refused('EEXIST', file);
  const text = await collect(options);
  await createFile(file, text).catch((error: NodeJS.ErrnoException) => {
    throw refused(String(error.code), file);
  });
  const bytes = Buffer.byteLength(text);
  const says = `wrote ${file} (${Math.ceil(bytes / 1024)} KiB): read it, then send it`;
  createReport(process.stdout, flags['json'] === true).line({ text: says, data: { file, bytes } });
  return OK;
}

/** Waits, because the process ends without waiting for a pipe. @throws SidecarError as for a file; not when the reader has enough */
async function print(text: string): Promise<void> {
  const error = await new Promise<NodeJS.ErrnoException | null | undefined>((written) =>
    process.stdout.write(text, written),
  );
  if (error && error.code !== 'EPIPE') throw notWritten(`standard output cannot be written (${error.code})`);
}

async function collect(options: LoadOptions): Promise<string> {
  const load = (printed?: PrintedBy) => loadConfig({ ...options, ...(printed && { printed }) });
  const loaded = await orProblem(() => withPrograms(load));
  // The doctor finds the sidecar running; so the sidecar is asked at the same time, not more than once.
  const [doctor, running] = await Promise.all([
    doctorText('problem' in loaded ? load : () => loaded),
    runningSidecar(options),
  ]);
  const sections = [
    processSection('this command', 'the command support'),
    { title: 'configuration as this command reads it', text: textOf(loaded) },
    { title: 'check, run by this command', text: doctor },
    ...running,
  ];
  return supportFile(sections, 'problem' in loaded ? [] : secretsIn(loaded));
}

interface Unusable {
  readonly problem: string;
}

async function orProblem<T>(load: () => T | Promise<T>): Promise<T | Unusable> {
  try {
    return await load();
  } catch (error) {
    if (!(error instanceof SidecarError)) throw error;
    const problems = error.extras.problems ?? [];
    return { problem: problems.map(({ where, path, message }) => `${where}: ${path} ${message}`).join('\n') };
  }
}

function textOf(loaded: LoadedConfig | Unusable): string {
  if (!('problem' in loaded)) return configurationText(loaded);
  return `It cannot be used here. The document is left out, because what is wrong in it may be a secret in the wrong place.
Variables that only the service of the sidecar has are not set here: then these problems are none of the sidecar.

${loaded.problem}`;
}

const STATE = 'running sidecar';
const ASK_MS = 10_000;

/** What the running sidecar says of itself: its own support file where it gives it out, else what it tells everybody. */
async function runningSidecar(options: LoadOptions): Promise<Section[]> {
  const admin = await orProblem(() => loadAdminAddress(options));
  if ('problem' in admin)
    return [{ title: STATE, text: `not asked: its admin address is not known\n${admin.problem}` }];
  const where = formatAddress(admin);
  const own = await requestText(admin, '/support?doctor=no', ASK_MS);
  if (own === undefined) {
    const text = `No sidecar responds at ${where}: state, metrics and log are not in this file.
If it runs, name its address with --admin or --config. Add its last log lines, for example: journalctl -u aritma-sidecar -n 500`;
    return [{ title: STATE, text }];
  }
  if (own.status === 200 && own.text !== undefined) {
    const from = own.text.indexOf('==== ');
    return [
      {
        title: STATE,
        text: `It responds at ${where}. Up to the end, this is its own part.\n\n${own.text.slice(from)}`,
      },
    ];
  }
  return openState(admin, where, own.status);
}

async function openState(admin: Address, where: string, refusal: number): Promise<Section[]> {
  const ask = async (path: '/status' | '/metrics') => {
    const { status, text } = (await requestText(admin, path, ASK_MS)) ?? {};
    return status === 200 && text !== undefined ? text : `no usable response (HTTP ${status ?? 'none'})`;
  };
  const text = `It responds at ${where}, but does not give out its log there (HTTP ${refusal}). For the log, set admin to unix:/path, or
adminActions: true; or add its last log lines, for example: journalctl -u aritma-sidecar -n 500`;
  return [{ title: STATE, text }, ...stateSections(parsed(await ask('/status')), await ask('/metrics'))];
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return json;
  }
}

function exists(file: string): Promise<boolean> {
  return lstat(file).then(
    () => true,
    () => false,
  );
}

/** Writes beside the target and then gives it its name, which fails if there is such a file. */
async function createFile(target: string, text: string): Promise<void> {
  const unfinished = join(dirname(target), `.aritma-sidecar-support-${process.pid}.tmp`);
  // A stop signal would leave a part of the file; the rest takes a moment.
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  const goOn = () => undefined;
  for (const signal of signals) process.on(signal, goOn);
  try {
    await writeNew(unfinished, text);
    await link(unfinished, target).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'EEXIST') throw error;
      // Some file systems have no links, and Node's permission model forbids them.
      return writeNew(target, text);
    });
  } finally {
    await rm(unfinished, { force: true });
    for (const signal of signals) process.off(signal, goOn);
  }
}

async function writeNew(path: string, text: string): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(text);
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  } finally {
    await file.close();
  }
}

function refused(errno: string, file: string): SidecarError {
  const words =
    errno === 'EEXIST' ? { message: `${file} exists`, fix: 'choose another name' } : writeFailure(errno, file);
  return notWritten(words ? `${words.message}; ${words.fix}` : `${file} cannot be written (${errno})`);
}

function notWritten(message: string): SidecarError {
  const failure = {
    cause: 'support_not_written',
    message,
    fix: 'choose another file with --output, or - for standard output',
  };
  return new SidecarError('CONFIG_INVALID', { problems: [{ where: 'flag --output', path: '', message }], failure });
}
