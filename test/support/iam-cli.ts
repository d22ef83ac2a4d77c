/** The `iam` commands as an administrator runs them, against a local Aritma of the test. */
import { type EmulatorOptions, startEmulator } from '../../src/emulator/server.ts';
import { ADMIN_CLIENT } from '../../src/emulator/store.ts';
import { type CliOptions, type Ended, jsonLines, run } from './cli.ts';
import { createFolder, type Folder } from './folder.ts';

export interface IamCliOptions extends EmulatorOptions {
  readonly runIt?: typeof run;
}

export interface IamCli extends AsyncDisposable {
  readonly url: string;
  readonly folder: Folder;
  /** Environment that points the commands to it, with administrator rights. */
  readonly env: Readonly<Record<string, string>>;
  /** Runs `iam` with these words. */
  iam(words: readonly string[], options?: CliOptions): Promise<Ended>;
  /** The same, but it must succeed; returns its lines. */
  rows(words: readonly string[]): Promise<Record<string, unknown>[]>;
  /** Creates a client by the command. */
  client(name: string): Promise<string>;
  /** Requests a token as that client, with the scope `api`. */
  askToken(clientId: string, secret: string): Promise<Response>;
  counters(): Promise<{ readonly requests: { readonly iam: number } }>;
  /** Scripts a fault of the local Aritma. */
  fault(fault: Readonly<Record<string, unknown>>): Promise<void>;
}

/** @param options.runIt how a command runs; default: in a process of its own */
export async function startIamCli({ runIt = run, ...options }: IamCliOptions = {}): Promise<IamCli> {
  const emulator = await startEmulator({ port: 0, ...options });
  const folder = createFolder();
  const { url } = emulator;
  const env = {
    ARITMA_IAM_URL: `${url}/core/iam`,
    ARITMA_TOKEN_ENDPOINT: `${url}/connect/token`,
    ARITMA_CLIENT_ID: ADMIN_CLIENT.clientId,
    ARITMA_CLIENT_SECRET: ADMIN_CLIENT.secrets[0]?.value ?? '',
  };
  const iam: IamCli['iam'] = (words, cli = {}) => runIt(['iam', ...words], { env, cwd: folder.path, ...cli });
  const rows: IamCli['rows'] = async (words) => {
    const { code, stdout, stderr } = await iam(words);
    if (code !== 0) throw new Error(`iam ${words.join(' ')} ended with ${code}: ${stderr}`);
    return stdout === '' ? [] : jsonLines(stdout);
  };
  return {
    url,
    folder,
    env,
    iam,
    rows,
    async client(name) {
      const [line] = await rows(['clients', 'create', '--name', name, '--description', 'd', '--scope', 'api']);
      return String(line?.['clientId']);
    },
    askToken(client_id, client_secret) {
      const form = { grant_type: 'client_credentials', client_id, client_secret, scope: 'api' };
      return fetch(`${url}/connect/token`, { method: 'POST', body: new URLSearchParams(form) });
    },
    counters: async () => (await fetch(`${url}/_emulator/counters`)).json() as ReturnType<IamCli['counters']>,
    async fault(fault) {
      const headers = { 'content-type': 'application/json' };
      const answer = await fetch(`${url}/_emulator/faults`, { method: 'POST', headers, body: JSON.stringify(fault) });
      if (!answer.ok) throw new Error(`the fault is refused: ${await answer.text()}`);
    },
    async [Symbol.asyncDispose]() {
      await emulator.close();
      folder[Symbol.dispose]();
    },
  };
}
