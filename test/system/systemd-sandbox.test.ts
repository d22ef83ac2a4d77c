// The sidecar lives in the sandbox that its unit describes: it starts, serves, rotates its secret and drains there, and what
// the unit forbids is forbidden.
import { chmodSync, readFileSync, statSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { type Emulator, startEmulator } from '../../src/emulator/server.ts';
import { ADMIN_CLIENT, DEMO_CLIENT } from '../../src/emulator/store.ts';
import { readText } from '../support/deployment.ts';
import { createFolder, type Folder } from '../support/folder.ts';
import { canSandbox, compileInto, runSandboxed, startSandboxed } from '../support/systemd-sandbox.ts';

const UNIT = readText('systemd/aritma-sidecar.service');
const SOCKET = '/run/aritma-sidecar/callers.sock';
const credentials = {
  'client-secret': DEMO_CLIENT.secrets[0]?.value ?? '',
  'admin-secret': ADMIN_CLIENT.secrets[0]?.value ?? '',
};

let program: Folder | undefined;
let compiled = '';

async function startWorld(unit: string, { rotates = false } = {}) {
  const emulator = await startEmulator({ port: 0 });
  onTestFinished(() => emulator.close());
  const client = { tokenEndpoint: `${emulator.url}/connect/token`, clientId: DEMO_CLIENT.clientId, scope: 'api' };
  const admin = {
    ...client,
    clientId: ADMIN_CLIENT.clientId,
    scope: 'services.iam',
    secrets: [{ file: '/run/credentials/aritma-sidecar.service/admin-secret' }],
  };
  const rotation = { every: '2s', secretLifetime: '1d', overlap: '1s' };
  const config = {
    listen: ['127.0.0.1:0', `unix:${SOCKET}`],
    admin: '127.0.0.1:0',
    credentials: rotates ? { default: { ...client, rotation }, admin } : { default: client },
    routes: [
      { path: '/banking', upstream: `${emulator.url}/banking/api` },
      { path: '/echo', upstream: `${emulator.url}/echo` },
    ],
    ...(rotates && { iam: { url: `${emulator.url}/core/iam`, credential: 'admin' } }),
  };
  const sandbox = await startSandboxed({ compiled, unit, config, credentials });
  onTestFinished(() => sandbox[Symbol.asyncDispose]());
  return { emulator, sandbox };
}

async function tokenStatus({ url }: Emulator, secret: string): Promise<number> {
  const body = new URLSearchParams({
    grant_type: 'client_credentials',
    client_id: DEMO_CLIENT.clientId,
    client_secret: secret,
    scope: 'api',
  });
  return (await fetch(`${url}/connect/token`, { method: 'POST', body })).status;
}

async function delayNext({ url }: Emulator, delayMs: number): Promise<void> {
  const body = JSON.stringify({ target: 'echo', delayMs });
  const headers = { 'Content-Type': 'application/json' };
  expect((await fetch(`${url}/_emulator/faults`, { method: 'POST', headers, body })).status).toBe(201);
}

/** The status of a call through the socket, as root sees the service's folders. */
function askSocket(pid: number, path: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const socketPath = `/proc/${pid}/root${SOCKET}`;
    request({ socketPath, path, agent: false }, (answer) => resolve(answer.resume().statusCode))
      .on('error', reject)
      .end();
  });
}

const statusOf = (pid: number) => readFileSync(`/proc/${pid}/status`, 'utf8');

describe.skipIf(!canSandbox && !process.env['CI'])('the sandbox of aritma-sidecar.service', () => {
  beforeAll(() => {
    program = createFolder();
    chmodSync(program.path, 0o755);
    compiled = compileInto(program);
  });
  afterAll(() => program?.[Symbol.dispose]());

  it('has no rights, and files that only it can read', async () => {
    const { sandbox } = await startWorld(UNIT);
    const status = statusOf(sandbox.pid);
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) {
      expect(status).toMatch(new RegExp(`^${set}:\\s0+$`, 'm'));
    }
    expect(status).toMatch(/^NoNewPrivs:\s1$/m);
    expect(status).toMatch(/^Seccomp:\s2$/m);
    expect(status).toMatch(/^Uid:\s61184\s61184\s61184\s61184$/m);
    const inside = `/proc/${sandbox.pid}/root`;
    const secret = statSync(`${inside}/run/credentials/aritma-sidecar.service/client-secret`);
    expect([secret.mode & 0o777, secret.uid]).toEqual([0o400, 61184]);
    const mounts = readFileSync(`/proc/${sandbox.pid}/mountinfo`, 'utf8').trim().split('\n');
    const writable = mounts.map((line) => line.split(' ')).filter(([, , , , , options = '']) => /^rw/.test(options));
    expect(
      writable
        .map(([, , , , path]) => path)
        .filter((path) => !path?.startsWith('/dev/') && path !== '/proc')
        .sort(),
    ).toEqual(['/run/aritma-sidecar', '/run/notify', '/tmp', '/var/lib/aritma-sidecar', '/var/tmp']);
  });

  it('serves over TCP and its Unix socket, tells systemd that it lives, reloads, drains and ends with 0', async () => {
    const { emulator, sandbox } = await startWorld(UNIT);
    expect((await fetch(`${sandbox.url}/banking/accounts`)).status).toBe(200);
    expect(await askSocket(sandbox.pid, '/banking/accounts')).toBe(200);
    expect(statSync(`/proc/${sandbox.pid}/root${SOCKET}`).mode & 0o777).toBe(0o660);
    expect(await (await fetch(`${sandbox.adminUrl}/metrics`)).text()).toMatch(/^process_resident_memory_bytes \d/m);
    await expect.poll(() => sandbox.heard()).toContain('WATCHDOG=1');
    sandbox.kill('SIGHUP');
    const ready = () => sandbox.heard().filter((line) => line.startsWith('READY=1')).length;
    await expect.poll(ready).toBe(2);
    await delayNext(emulator, 5000);
    const running = fetch(`${sandbox.url}/echo/last`, { method: 'POST', body: 'x' });
    await expect
      .poll(async () => (await (await fetch(`${sandbox.adminUrl}/metrics`)).text()).includes('requests_in_flight 1'))
      .toBe(true);
    sandbox.kill('SIGTERM');
    expect((await running).status).toBe(200);
    expect(await sandbox.ended).toBe(0);
    await expect.poll(() => sandbox.heard()).toContain('STOPPING=1 STATUS=draining');
    expect(sandbox.output()).not.toMatch(/ERR_ACCESS_DENIED|EPERM|EACCES|Warning/);
  });

  it('forbids what the unit forbids: other files to Node, writing and other system calls to every program', async () => {
    const probe = `
      node -e "try { fs.readFileSync('/etc/passwd') } catch (error) { console.log('read', error.code) }"
      node -e "try { fs.writeFileSync('/tmp/x', '') } catch (error) { console.log('write', error.code) }"
      node -e "console.log('secret', fs.readFileSync(process.env.ARITMA_CLIENT_SECRET_FILE).length)"
      (touch /etc/aritma-sidecar/x || touch /run/credentials/x || touch /usr/local/bin/x) 2>/dev/null || echo 'files stay'
      python3 -c "import socket; socket.socket(16, 3)" 2>/dev/null || echo 'no netlink'
      nice -n 5 true 2>&1 | grep -q 'cannot set' && echo 'no priorities'
      ls /root /home 2>/dev/null || echo 'no homes'
      test -e /proc/1/status || echo 'no other processes'
      ulimit -c`;
    const options = { compiled, unit: UNIT, config: {}, credentials };
    expect((await runSandboxed(options, ['/bin/sh', '-c', probe])).trim().split('\n')).toEqual([
      'read ERR_ACCESS_DENIED',
      'write ERR_ACCESS_DENIED',
      `secret ${credentials['client-secret'].length}`,
      'files stay',
      'no netlink',
      'no priorities',
      'no homes',
      'no other processes',
      '0',
    ]);
  });

  it('rotates its secret with options/rotation.conf, in the one folder it may write, while it serves', async () => {
    const { emulator, sandbox } = await startWorld(`${UNIT}\n${readText('systemd/options/rotation.conf')}`, {
      rotates: true,
    });
    const file = join(sandbox.state, 'client-secret');
    expect(readFileSync(file, 'utf8')).toBe(credentials['client-secret']);
    await expect.poll(() => readFileSync(file, 'utf8'), { interval: 200 }).not.toBe(credentials['client-secret']);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    await expect.poll(() => sandbox.output()).toContain('"step":"retired"');
    await expect.poll(async () => tokenStatus(emulator, credentials['client-secret'])).toBe(400);
    expect(await tokenStatus(emulator, readFileSync(file, 'utf8').trim())).toBe(200);
    expect((await fetch(`${sandbox.url}/banking/accounts`)).status).toBe(200);
    sandbox.kill('SIGTERM');
    expect(await sandbox.ended).toBe(0);
    expect(sandbox.output()).not.toMatch(/ERR_ACCESS_DENIED|EPERM|EACCES|EROFS|"level":"error"/);
  });
});
