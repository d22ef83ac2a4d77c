// A tenant far larger than any: every page of every list is followed, in bounded memory, and people see that it goes on.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Emulator, startEmulator } from '../../src/emulator/server.ts';
import { ADMIN_CLIENT } from '../../src/emulator/store.ts';
import { COMPILED } from '../support/compiled.ts';
import { createFolder } from '../support/folder.ts';

const MAIN = new URL('../../src/main.ts', import.meta.url).pathname;
const CLIENTS = 10_000;
const POLICIES = 5000;
const SECRETS = 50;

const range = (count: number) => Array.from({ length: count }, (_, index) => index);
const template = {
  ...{ allowedGrantTypes: ['client_credentials'], allowedScopes: ['api'], redirectUris: [], policies: [], secrets: [] },
};

let emulator: Emulator;
beforeAll(async () => {
  const many = range(CLIENTS).map((index) => ({
    ...{ ...template, clientId: `client-${index}`, name: `Client ${index}`, description: 'd'.repeat(500) },
    policies: index < POLICIES ? [{ scope: `/subscriptions/${index}`, action: 'banking.ais.read' }] : [],
  }));
  const [first = many[0] as (typeof many)[number], ...rest] = many;
  const secrets = range(SECRETS).map((index) => ({
    ...{ clientSecretId: `secret-${index}`, value: `value-of-${index}-secret`, description: `secret ${index}` },
  }));
  emulator = await startEmulator({ port: 0, clients: [ADMIN_CLIENT, { ...first, secrets }, ...rest] });
});
afterAll(() => emulator.close());

interface Listed {
  readonly code: number | null;
  readonly ids: ReadonlySet<string>;
  readonly lines: number;
  readonly stderr: string;
  readonly peakMiB: number;
}

/** Runs a list with a heap that could not hold it, and reads it line by line. */
async function list(words: readonly string[], id: string): Promise<Listed> {
  const env = {
    ...COMPILED,
    ...{ ARITMA_IAM_URL: `${emulator.url}/core/iam`, ARITMA_TOKEN_ENDPOINT: `${emulator.url}/connect/token` },
    ...{ ARITMA_CLIENT_ID: ADMIN_CLIENT.clientId, ARITMA_CLIENT_SECRET: ADMIN_CLIENT.secrets[0]?.value ?? '' },
  };
  const report = `process.on('exit', () => process.stderr.write(\`peak \${process.resourceUsage().maxRSS}\\n\`));`;
  using folder = createFolder();
  const program = folder.write('report.mjs', `${report}\nawait import(${JSON.stringify(MAIN)});\n`);
  const args = [program, 'iam', ...words, '--json'];
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    stderr += chunk;
  });
  const closed = new Promise<number | null>((resolve) => child.once('close', resolve));
  const ids = new Set<string>();
  let lines = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    lines += 1;
    ids.add(String((JSON.parse(line) as Record<string, unknown>)[id]));
  }
  const code = await closed;
  return { code, ids, lines, stderr, peakMiB: Number(/peak (\d+)/.exec(stderr)?.[1]) / 1024 };
}

describe(`a tenant with ${CLIENTS} clients, ${SECRETS} secrets of one and ${POLICIES} policies`, () => {
  let smallMiB = 0;
  beforeAll(async () => {
    smallMiB = (await list(['clients', 'list', '--search', 'Client 4711'], 'clientId')).peakMiB;
  });

  it.each([
    ['clients', ['clients', 'list'], 'clientId', CLIENTS + 1],
    ['subjects', ['subjects', 'list'], 'subjectId', CLIENTS + 1],
    ['policies', ['policies', 'list'], 'scope', POLICIES],
    ['secrets', ['secrets', 'list', 'client-0'], 'clientSecretId', SECRETS],
  ])('lists all %s, each once, in little more memory than a handful', async (_what, words, id, count) => {
    const { code, ids, lines, peakMiB } = await list(words, id);
    expect([code, lines, ids.size]).toEqual([0, count, count]);
    process.stdout.write(`${words[0]}: ${lines} in ${Math.round(peakMiB)} MiB, one in ${Math.round(smallMiB)} MiB\n`);
    expect(peakMiB - smallMiB).toBeLessThan(48);
  });

  it('shows at a terminal how far a long list has come', async () => {
    const env = {
      ...process.env,
      ...COMPILED,
      ...{ ARITMA_IAM_URL: `${emulator.url}/core/iam`, ARITMA_TOKEN_ENDPOINT: `${emulator.url}/connect/token` },
      ...{ ARITMA_CLIENT_ID: ADMIN_CLIENT.clientId, ARITMA_CLIENT_SECRET: ADMIN_CLIENT.secrets[0]?.value ?? '' },
    };
    const command = `${process.execPath} ${MAIN} iam clients list > /dev/null`;
    const child = spawn('script', ['-qefc', command, '/dev/null'], { env, stdio: ['ignore', 'pipe', 'ignore'] });
    let seen = '';
    for await (const chunk of child.stdout) seen += String(chunk);
    const counts = [...seen.matchAll(/(\d+) of 10001/g)].map(([, count]) => Number(count));
    expect(counts.length).toBeGreaterThan(3);
    expect(counts.toSorted((a, b) => a - b)).toEqual(counts);
  });
});
