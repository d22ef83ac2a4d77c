/** A whole sidecar with the configuration and environment of the test, and calls that report what a caller sees. */
import { onTestFinished } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { createLog } from '../../src/core/log.ts';
import { startSidecar } from '../../src/sidecar/sidecar.ts';
import type { Folder } from './folder.ts';
import { TEST_CLIENT_ID, TEST_SECRET } from './sidecar.ts';

export interface EgressOptions {
  readonly folder: Folder;
  readonly env?: Readonly<Record<string, string>>;
  /** Fields of the default credential: token endpoint, TLS files. */
  readonly credential: Readonly<Record<string, unknown>>;
  readonly routes: readonly Readonly<Record<string, unknown>>[];
  /** Further top-level options. */
  readonly config?: Readonly<Record<string, unknown>>;
}

export interface Seen {
  readonly status: number;
  readonly code: string | null;
  /** Head and body, to search for what must not be in them. */
  readonly text: string;
}

export interface EgressWorld {
  /** `http://127.0.0.1:PORT` for callers. */
  readonly url: string;
  call(path?: string): Promise<Seen>;
  readonly logs: readonly Record<string, unknown>[];
  /** All log lines as written. */
  log(): string;
  status(): Promise<string>;
  /** Reloads, as SIGHUP does. */
  reload(): void;
  /** Text of /metrics. */
  metrics(): Promise<string>;
}

/** Stops with the test. */
export async function startEgressWorld(options: EgressOptions): Promise<EgressWorld> {
  const { folder, env = {}, credential, routes, config = {} } = options;
  const secret = folder.write('client-secret', TEST_SECRET);
  const document = {
    listen: '127.0.0.1:0',
    admin: '127.0.0.1:0',
    credentials: { default: { clientId: TEST_CLIENT_ID, secrets: [{ file: secret }], ...credential } },
    routes,
    drain: { limit: '1s' },
    // A token that cannot be fetched stays so: no caller waits for another try.
    token: { waitTimeout: '900ms' },
    ...config,
  };
  const file = folder.write('config.yaml', JSON.stringify(document));
  const lines: string[] = [];
  const log = createLog({ level: 'debug', format: 'json', write: (line) => lines.push(line) });
  const sidecar = await startSidecar({ loaded: loadConfig({ file, env, cwd: folder.path }), log });
  onTestFinished(async () => void (await sidecar.stop()));
  // On a busy machine a first handshake takes longer than a caller waits here.
  await sidecar.firstTokens().catch(() => undefined);
  return {
    url: sidecar.proxy[0]?.text ?? '',
    async call(path = '/api/x') {
      const url = `${sidecar.proxy[0]?.text}${path}`;
      const answer = await fetch(url, { signal: AbortSignal.timeout(8000) });
      const text = `${JSON.stringify([...answer.headers])} ${await answer.text()}`;
      return { status: answer.status, code: answer.headers.get('x-sidecar-error'), text };
    },
    get logs() {
      return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    },
    log: () => lines.join(''),
    reload: () => void sidecar.reload('test'),
    metrics: async () => (await fetch(`${sidecar.admin[0]?.text}/metrics`)).text(),
    status: async () => (await fetch(`${sidecar.admin[0]?.text}/status`)).text(),
  };
}
