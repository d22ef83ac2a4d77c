/** Provisioning in its own process, to be killed: `node provision-child.ts ORIGIN FOLDER`. Prints `done` at its end. */
import { Pool } from 'undici';
import { Secret } from '../../src/core/secret.ts';
import { createReport } from '../../src/core/terminal.ts';
import { createIamApi } from '../../src/iam/api.ts';
import { loadDesired } from '../../src/iam/provision/desired-state.ts';
import { runProvision } from '../../src/iam/provision/provision.ts';

const [origin = '', cwd = ''] = process.argv.slice(2);
const admin = new Secret('Bearer an-administrator');
const dispatcher = new Pool(origin, { connections: 1 });

await runProvision(loadDesired('service-client.yaml', { cwd, environment: 'dev' }), {
  iam: createIamApi({ dispatcher, basePath: '', authorize: async () => admin, deadlineMs: 20_000 }),
  verify: async () => 'accepted',
  clock: { now: Date.now, sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)) },
  report: createReport({ write: () => undefined }, true),
  dryRun: false,
  check: async () => 0,
});
await dispatcher.close();
process.stdout.write('done');
