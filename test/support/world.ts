/** A sidecar as a child process with an identity server and an API of the test. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Addresses, addressesOf, type CliOptions, type Running, start } from './cli.ts';
import { createFolder, type Folder } from './folder.ts';
import { startTokenServer, type TokenServer } from './token-server.ts';

export const WORLD_SECRET = 'CANARY-client-secret-4711';

export interface World extends AsyncDisposable {
  readonly identity: TokenServer;
  readonly folder: Folder;
  /** Starts a sidecar and waits until it listens. It ends with the world at the latest. */
  serve(config?: Readonly<Record<string, unknown>>, options?: CliOptions): Promise<Running & Addresses>;
  /** Starts it without waiting. */
  launch(config?: Readonly<Record<string, unknown>>, options?: CliOptions): Running;
}

/** @param upstream `http://127.0.0.1:PORT` of the API behind `/api` */
export async function createWorld(upstream: string): Promise<World> {
  const identity = await startTokenServer();
  const folder = createFolder();
  const started: Running[] = [];
  const launch: World['launch'] = (config = {}, options = {}) => {
    const file = join(folder.path, `config-${started.length}.yaml`);
    const credential = {
      tokenEndpoint: identity.url,
      clientId: 'test-erp',
      secrets: [{ env: 'TEST_SECRET' }],
      scope: 'api',
    };
    const base = {
      listen: '127.0.0.1:0',
      admin: '127.0.0.1:0',
      credentials: { default: credential },
      routes: [{ path: '/api', upstream }],
    };
    // JSON is valid YAML.
    writeFileSync(file, JSON.stringify({ ...base, ...config }));
    const env = { TEST_SECRET: WORLD_SECRET, ...options.env };
    const running = start(['--config', file], { ...options, env });
    started.push(running);
    return running;
  };
  return {
    identity,
    folder,
    launch,
    async serve(config, options) {
      const running = launch(config, options);
      return { ...running, ...(await addressesOf(running)) };
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(started.map((running) => running[Symbol.asyncDispose]()));
      await identity.close();
      folder[Symbol.dispose]();
    },
  };
}
