/** A whole sidecar in this process on free ports, configured by a file in its own folder. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '../../src/config/load.ts';
import { withPrograms } from '../../src/config/secret-programs.ts';
import type { Clock } from '../../src/core/clock.ts';
import { createLog } from '../../src/core/log.ts';
import { startSidecar } from '../../src/sidecar/sidecar.ts';

export interface TestSidecarOptions {
  /** `http://127.0.0.1:PORT` of the API. */
  readonly upstream: string;
  /** Whole URL of the token endpoint. */
  readonly tokenEndpoint: string;
  /** Further top-level options; `routes` and `credentials` replace the defaults. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Fields of the default credential, added to the usual ones. */
  readonly credential?: Readonly<Record<string, unknown>>;
  readonly clientId?: string;
  readonly secret?: string;
  readonly clock?: Clock;
  /** Heap in use as a share of its limit. */
  readonly heapShare?: () => number;
}

export interface TestSidecar {
  /** `http://127.0.0.1:PORT` for callers; one route, `/api`. */
  readonly url: string;
  readonly port: number;
  readonly adminUrl: string;
  /** Its configuration file and the file with its secret. */
  readonly file: string;
  readonly secretFile: string;
  /** Reloads, as SIGHUP does. */
  reload(): void;
  /** Resolves when every route has its first token; rejects when the first try failed. */
  firstTokens(): Promise<void>;
  /** Everything logged so far, parsed. */
  readonly logs: readonly Record<string, unknown>[];
  /** Every log line as written. */
  readonly rawLogs: readonly string[];
  /** Drains; true when nothing was cut off. */
  stop(): Promise<boolean>;
}

export const TEST_CLIENT_ID = 'test-erp';
export const TEST_SECRET = 'canary-secret-4711-never-printed';

export async function startTestSidecar(options: TestSidecarOptions): Promise<TestSidecar> {
  const folder = mkdtempSync(join(tmpdir(), 'aritma-sidecar-test-'));
  const secretFile = join(folder, 'secret');
  const file = join(folder, 'config.yaml');
  writeFileSync(secretFile, `${options.secret ?? TEST_SECRET}\n`, { mode: 0o600 });
  // JSON is valid YAML 1.2.
  writeFileSync(file, JSON.stringify(testConfig(options, secretFile)));
  const rawLogs: string[] = [];
  const logs: Record<string, unknown>[] = [];
  const write = (line: string) => {
    rawLogs.push(line);
    logs.push(JSON.parse(line) as Record<string, unknown>);
  };
  const loaded = await withPrograms((printed) => loadConfig({ file, env: {}, cwd: folder, printed }));
  const log = createLog({ level: 'debug', format: 'json', write });
  const { clock, heapShare } = options;
  const sidecar = await startSidecar({ loaded, log, ...(clock && { clock }), ...(heapShare && { heapShare }) });
  const [proxy] = sidecar.proxy;
  return {
    url: proxy?.text ?? '',
    port: proxy?.address.kind === 'tcp' ? proxy.address.port : 0,
    file,
    secretFile,
    reload: () => void sidecar.reload('test'),
    firstTokens: sidecar.firstTokens,
    adminUrl: sidecar.admin[0]?.text ?? '',
    logs,
    rawLogs,
    async stop() {
      const drained = await sidecar.stop();
      rmSync(folder, { recursive: true, force: true });
      return drained;
    },
  };
}

function testConfig(options: TestSidecarOptions, secretFile: string): Record<string, unknown> {
  return {
    listen: '127.0.0.1:0',
    admin: '127.0.0.1:0',
    credentials: {
      default: {
        tokenEndpoint: options.tokenEndpoint,
        clientId: options.clientId ?? TEST_CLIENT_ID,
        secrets: [{ file: secretFile }],
        scope: 'api',
        ...options.credential,
      },
    },
    routes: [{ path: '/api', upstream: options.upstream }],
    drain: { limit: '10s' },
    ...options.config,
  };
}
