/** `config init` in a folder of its own, against a local Aritma of the test. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { startEmulator } from '../../src/emulator/server.ts';
import { DEMO_CLIENT } from '../../src/emulator/store.ts';
import { createFolder, type Folder } from './folder.ts';
import { freePort } from './free-port.ts';

export interface InitWorld extends AsyncDisposable {
  readonly folder: Folder;
  readonly url: string;
  /** Points the environment `emulator` to it. */
  readonly env: Readonly<Record<string, string>>;
  readonly clientId: string;
  readonly secret: string;
  readonly ports: { readonly listen: string; readonly admin: string };
  /** The content of a file in the folder; undefined when it does not exist. */
  read(name: string): string | undefined;
}

export async function createInitWorld(): Promise<InitWorld> {
  const emulator = await startEmulator({ port: 0 });
  const folder = createFolder();
  const { url } = emulator;
  return {
    folder,
    url,
    env: {
      ARITMA_TOKEN_ENDPOINT: `${url}/connect/token`,
      ARITMA_BANKING_URL: `${url}/banking/api`,
      ARITMA_EVENTS_URL: `${url}/events`,
    },
    clientId: DEMO_CLIENT.clientId,
    secret: DEMO_CLIENT.secrets[0]?.value ?? '',
    ports: { listen: String(await freePort()), admin: `127.0.0.1:${await freePort()}` },
    read(name) {
      const path = join(folder.path, name);
      return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
    },
    async [Symbol.asyncDispose]() {
      await emulator.close();
      folder[Symbol.dispose]();
    },
  };
}
