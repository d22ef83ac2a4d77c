/** A folder, an IAM in memory and the file of one service client: the input of provisioning, and its result. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createReport } from '../../src/core/terminal.ts';
import { createIamApi, type IamApi } from '../../src/iam/api.ts';
import { type Desired, loadDesired } from '../../src/iam/provision/desired-state.ts';
import { type ProvisionOptions, runProvision } from '../../src/iam/provision/provision.ts';
import { createFolder, type Folder } from './folder.ts';
import { type IamDouble, startIamDouble } from './iam-double.ts';

export const SERVICE_CLIENT = `
client:
  name: My ERP
  description: Pays the bills
  scopes: [api]
secret:
  file: secret
  lifetime: 90d
policies:
  - { scope: /subscriptions/123, action: banking.pis.create }
  - { scope: /subscriptions/123, action: banking.ais.read }
sidecar:
  environment: dev
`;

export interface ProvisionWorld extends AsyncDisposable {
  readonly folder: Folder;
  readonly double: IamDouble;
  readonly iam: IamApi;
  desired(yaml?: string): Desired;
  /** Printed lines. */
  readonly output: string[];
  run(options?: Partial<ProvisionOptions>, yaml?: string): Promise<number>;
  /** Content of the secret's file, without its line break. */
  stored(): string | undefined;
  /** Returns what is wrong after a successful run; empty = nothing. */
  faultsOfResult(): string[];
  /** Creates a new folder and an empty IAM. */
  renew(): void;
}

export async function createProvisionWorld(): Promise<ProvisionWorld> {
  const double = await startIamDouble();
  let folder = createFolder();
  const output: string[] = [];
  const iam = createIamApi(double.connection);
  const report = createReport({ isTTY: true, write: (line) => void output.push(line) }, false);
  const stored = () => {
    const file = join(folder.path, 'secret');
    return existsSync(file) ? readFileSync(file, 'utf8').trimEnd() : undefined;
  };
  const desired: ProvisionWorld['desired'] = (yaml = SERVICE_CLIENT) =>
    loadDesired(folder.write('service-client.yaml', yaml), { cwd: folder.path, environment: undefined });
  return {
    get folder() {
      return folder;
    },
    double,
    iam,
    output,
    desired,
    async run(options = {}, yaml) {
      return runProvision(desired(yaml), {
        iam,
        report,
        clock: { now: () => Date.now(), sleep: async () => undefined },
        dryRun: false,
        verify: async (clientId, secret) => (double.works(clientId, secret.reveal()) ? 'accepted' : 'refused'),
        check: async () => 0,
        ...options,
      });
    },
    stored,
    faultsOfResult() {
      const { clients, secrets, policies } = double;
      const [client] = clients;
      const files = readdirSync(folder.path).filter((name) => name !== 'service-client.yaml');
      const tuples = new Set(policies.map(({ subject, scope, action }) => `${subject} ${scope} ${action}`));
      return [
        clients.length !== 1 && `${clients.length} clients`,
        client && client.description !== 'Pays the bills' && `description ${client.description}`,
        secrets.length !== 1 && `${secrets.length} secrets`,
        !(client && double.works(client.clientId, stored())) && 'the secret in the file does not work',
        (policies.length !== 2 || tuples.size !== 2) && `${policies.length} policies`,
        files.sort().join() !== 'secret,secret.rotation' && `files: ${files.join()}`,
        existsSync(join(folder.path, 'secret')) &&
          (statSync(join(folder.path, 'secret')).mode & 0o777) !== 0o600 &&
          'mode',
        /"(?:provision|creating)"/.test(readIfThere(join(folder.path, 'secret.rotation'))) && 'still under way',
      ].filter((fault) => typeof fault === 'string');
    },
    renew() {
      double.reset();
      output.length = 0;
      folder[Symbol.dispose]();
      folder = createFolder();
    },
    async [Symbol.asyncDispose]() {
      folder[Symbol.dispose]();
      await double[Symbol.asyncDispose]();
    },
  };
}

function readIfThere(file: string): string {
  return existsSync(file) ? readFileSync(file, 'utf8') : '';
}
