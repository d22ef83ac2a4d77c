/**
 * The demo: a local Aritma and a sidecar in front of it, in one process and without any configuration.
 */
import { type LoadOptions, loadConfig } from '../config/load.ts';
import type { Address } from '../config/parsers.ts';
import { emulatorPreset } from '../config/presets.ts';
import { SidecarError } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import { type Emulator, type EmulatorOptions, startEmulator } from '../emulator/server.ts';
import { StateFileError } from '../emulator/state-file.ts';
import { DEMO_CLIENT } from '../emulator/store.ts';
import { formatAddress } from '../net/listen.ts';
import { listenWords } from '../net/listen-errors.ts';
import { type Sidecar, startSidecar } from '../sidecar/sidecar.ts';

type TcpAddress = Extract<Address, { kind: 'tcp' }>;

export interface DemoOptions {
  readonly log: Log;
  /** Flags such as `--listen`, by name. */
  readonly flags: Readonly<Record<string, string>>;
  /** Where the local Aritma listens; port 0 = any free port. */
  readonly emulator: TcpAddress;
  readonly onShutdownRequest?: () => void;
}

export interface Demo {
  readonly sidecar: Sidecar;
  readonly emulator: Emulator;
  /** The URL of a GET request that works. */
  readonly exampleUrl: string;
  stop(): Promise<boolean>;
}

/** @throws SidecarError CONFIG_INVALID | SIDECAR_LISTEN_FAILED */
export async function startDemo(options: DemoOptions): Promise<Demo> {
  const { log, flags, onShutdownRequest } = options;
  const emulator = await openEmulator(options.emulator);
  try {
    const loaded = loadConfig({ ...demoConfig(emulator.url, flags), cwd: import.meta.dirname });
    const sidecar = await startSidecar({ loaded, log, ...(onShutdownRequest && { onShutdownRequest }) });
    const stop = async () => {
      const drained = await sidecar.stop();
      await emulator.close();
      return drained;
    };
    return { sidecar, emulator, exampleUrl: `${sidecar.proxy[0]?.text}/banking/accounts`, stop };
  } catch (error) {
    await emulator.close();
    throw error;
  }
}

/** Starts the local Aritma. Its `close()` throws the same errors. @throws SidecarError CONFIG_INVALID | SIDECAR_LISTEN_FAILED */
export async function openEmulator({ host, port }: TcpAddress, options: EmulatorOptions = {}): Promise<Emulator> {
  const fail = (error: unknown): never => {
    throw explain(error, { kind: 'tcp', host, port });
  };
  const emulator = await startEmulator({ ...options, host, port }).catch(fail);
  return { url: emulator.url, close: () => emulator.close().catch(fail) };
}

function explain(cause: unknown, address: TcpAddress): SidecarError {
  if (cause instanceof StateFileError) {
    const problems = [{ where: 'flag --state', path: '', message: cause.message }];
    return new SidecarError('CONFIG_INVALID', { cause, problems });
  }
  const errno = String((cause as NodeJS.ErrnoException).code);
  const fields = { address: formatAddress(address), errno };
  return new SidecarError('SIDECAR_LISTEN_FAILED', { cause, fields, failure: listenWords(errno, address) });
}

/**
 * Returns the two routes of every environment, and the echo of the local Aritma for what those routes do not offer: any
 * method, bodies of any length, WebSockets. Ignores the process environment: a demo must never send real credentials.
 */
export function demoConfig(
  origin: string,
  flags: DemoOptions['flags'],
): Required<Pick<LoadOptions, 'document' | 'env'>> {
  const preset = emulatorPreset(origin);
  const [secret] = DEMO_CLIENT.secrets;
  const { listen, admin } = { listen: flags['--listen'], admin: flags['--admin'] };
  const document = {
    environment: 'emulator',
    ...(listen !== undefined && { listen }),
    ...(admin !== undefined && { admin }),
    credentials: {
      default: {
        ...preset.credentials?.default,
        clientId: DEMO_CLIENT.clientId,
        secrets: [{ env: 'ARITMA_CLIENT_SECRET' }],
      },
    },
    routes: [...(preset.routes ?? []), { path: '/echo', upstream: `${origin}/echo`, upgrade: true }],
  };
  return { document, env: { ARITMA_CLIENT_SECRET: secret?.value ?? '' } };
}
