/**
 * The demonstration: a local Aritma and a sidecar in front of it in one process, with nothing to configure.
 */
import { loadConfig } from './config/load.ts';
import { emulatorPreset } from './config/presets.ts';
import type { Address } from './config/values.ts';
import { type Emulator, type EmulatorOptions, startEmulator } from './emulator/server.ts';
import { StateFileError } from './emulator/state-file.ts';
import { DEMO_CLIENT } from './emulator/store.ts';
import { SidecarError } from './errors.ts';
import { formatAddress } from './listen.ts';
import type { Log } from './log.ts';
import { type Sidecar, startSidecar } from './serve.ts';

type TcpAddress = Extract<Address, { kind: 'tcp' }>;

export interface DemoOptions {
  readonly log: Log;
  /** Flags such as `--listen`, by name. */
  readonly flags: Readonly<Record<string, string>>;
  /** Where the local Aritma listens; port 0 = any free one. */
  readonly emulator: TcpAddress;
  readonly onShutdownRequest?: () => void;
}

export interface Demo {
  readonly sidecar: Sidecar;
  readonly emulator: Emulator;
  /** A request that works, as a URL. */
  readonly exampleUrl: string;
  stop(): Promise<boolean>;
}

/** @throws SidecarError CONFIG_INVALID | SIDECAR_LISTEN_FAILED */
export async function startDemo(options: DemoOptions): Promise<Demo> {
  const { log, flags, onShutdownRequest } = options;
  const emulator = await openEmulator(options.emulator);
  try {
    const loaded = loadConfig({ flags, env: demoEnvironment(emulator.url), cwd: import.meta.dirname });
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

/** Starts the local Aritma. @throws SidecarError CONFIG_INVALID (state file) | SIDECAR_LISTEN_FAILED */
export async function openEmulator({ host, port }: TcpAddress, options: EmulatorOptions = {}): Promise<Emulator> {
  try {
    return await startEmulator({ ...options, host, port });
  } catch (error) {
    if (error instanceof StateFileError) {
      const problems = [{ where: 'flag --state', path: '', message: error.message }];
      throw new SidecarError('CONFIG_INVALID', { cause: error, problems });
    }
    const address = formatAddress({ kind: 'tcp', host, port });
    const errno = String((error as NodeJS.ErrnoException).code);
    throw new SidecarError('SIDECAR_LISTEN_FAILED', { cause: error, fields: { address, errno } });
  }
}

/** The process environment stays out of it: a demo must never send real credentials anywhere. */
function demoEnvironment(origin: string): Record<string, string> {
  const preset = emulatorPreset(origin);
  const [banking, events] = preset.routes ?? [];
  const [secret] = DEMO_CLIENT.secrets;
  return {
    ARITMA_ENVIRONMENT: 'emulator',
    ARITMA_TOKEN_ENDPOINT: preset.credentials?.default.tokenEndpoint ?? '',
    ARITMA_BANKING_URL: banking?.upstream ?? '',
    ARITMA_EVENTS_URL: events?.upstream ?? '',
    ARITMA_CLIENT_ID: DEMO_CLIENT.clientId,
    ARITMA_CLIENT_SECRET: secret?.value ?? '',
  };
}
