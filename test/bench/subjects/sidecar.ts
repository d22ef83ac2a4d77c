/** The sidecar as operators run it: default options, access log into a file, metrics, the Node flags of the image. */
import { readFileSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { join } from 'node:path';
import { NODE_FLAGS } from '../../../deploy/executable/targets.ts';
import { COMPILED } from '../../support/compiled.ts';
import { freePort } from '../../support/free-port.ts';
import { CORE, startProgram } from '../children.ts';
import { untilListening, untilTrue } from './ports.ts';
import { FETCHED, LOG_FILE, originOf, type Running, type Setup, type Subject } from './subject.ts';

/** Name of the other build measured beside this one. */
export const BEFORE = 'before';
/** Resolution of start times. */
const POLL_MS = 5;

export const SIDECAR: Subject = {
  name: 'sidecar',
  does: 'fetches and renews the token; guards, metrics, access log',
  logs: true,
  version: () => {
    const manifest = new URL('../../../package.json', import.meta.url);
    return (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version;
  },
  start: startSidecar,
};

/** Returns another build as a subject. @param main its program file */
export function sidecarFrom(main: string): Subject {
  return {
    ...SIDECAR,
    name: BEFORE,
    start: (setup) => startSidecar({ ...setup, sidecar: { ...setup.sidecar, main } }),
  };
}

export interface SidecarWith {
  readonly name: string;
  /** Of Node, beside the usual ones. */
  readonly flags: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** The sidecar, started in another way. */
export function sidecarWith({ name, flags, env }: SidecarWith): Subject {
  return {
    ...SIDECAR,
    name,
    start: (setup) => {
      const nodeFlags = [...setup.sidecar.nodeFlags, ...flags];
      const sidecar = { ...setup.sidecar, nodeFlags, ...(env && { env }) };
      return startSidecar({ ...setup, sidecar });
    },
  };
}

async function startSidecar(setup: Setup): Promise<Running> {
  const { folder, sidecar, caFile } = setup;
  const port = await freePort();
  const admin = await freePort();
  const configFile = join(folder, 'config.json');
  writeFileSync(join(folder, 'secret'), 'secret-of-the-bench', { mode: 0o600 });
  writeFileSync(configFile, JSON.stringify(configOf(setup, port, admin)));
  const startedAt = performance.now();
  const node = [process.execPath, ...NODE_FLAGS, ...sidecar.nodeFlags];
  const child = startProgram([...node, sidecar.main, 'serve', '--config', configFile], {
    ...(!sidecar.anyCore && { core: CORE.subject }),
    cwd: folder,
    env: {
      // As in the Dockerfile.
      MALLOC_ARENA_MAX: '1',
      ...sidecar.env,
      ...(caFile !== undefined && { NODE_EXTRA_CA_CERTS: caFile }),
      // Compiling TypeScript at each start would take most of a smoke run.
      ...(sidecar.main.endsWith('.ts') && COMPILED),
    },
    outputFile: join(folder, LOG_FILE),
  });
  let readyMs: number;
  try {
    if (sidecar.cold) await untilListening(child, port);
    else await untilTrue(child, () => isReady(admin), POLL_MS);
    readyMs = performance.now() - startedAt;
  } catch (error) {
    await child.stop();
    throw error;
  }
  return { port, pids: [child.pid], expects: FETCHED, readyMs, stop: child.stop };
}

function configOf(setup: Setup, port: number, admin: number): object {
  const secrets = [{ file: join(setup.folder, 'secret') }];
  return {
    listen: `127.0.0.1:${port}`,
    admin: `127.0.0.1:${admin}`,
    credentials: {
      default: { tokenEndpoint: setup.tokenEndpoint, clientId: 'bench', secrets, scope: 'api' },
    },
    routes: [{ path: '/api', upstream: `${originOf(setup)}/api` }],
    ...setup.sidecar.config,
  };
}

/** Ready, with a first token. */
async function isReady(admin: number): Promise<boolean> {
  const answers = await Promise.all(['/startupz', '/readyz'].map((path) => statusOf(admin, path)));
  return answers.every((status) => status === 200);
}

function statusOf(port: number, path: string): Promise<number | undefined> {
  return new Promise((resolve) => {
    get({ port, host: '127.0.0.1', path, agent: false }, (answer) => {
      answer.resume();
      resolve(answer.statusCode);
    }).on('error', () => resolve(undefined));
  });
}
