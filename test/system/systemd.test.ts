/** What systemd hears of a sidecar: a datagram socket in its place, systemd's own program in between. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createFolder, type Folder } from '../support/folder.ts';
import { freePort } from '../support/free-port.ts';
import { startTokenServer } from '../support/token-server.ts';
import { until } from '../support/until.ts';
import { startUpstream } from '../support/upstream.ts';

const ROOT = join(import.meta.dirname, '../..');
const installed = ['systemd-notify', 'python3'].every((tool) => spawnSync(tool, ['--version']).status === 0);
/** systemd-notify waits until the file descriptor it sends with BARRIER=1 is closed. */
const RECEIVER = `
import os, socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print("bound", flush=True)
while True:
    data, fds, _, _ = socket.recv_fds(s, 4096, 8)
    print(data.decode().replace("\\n", " "), flush=True)
    if fds: time.sleep(float(sys.argv[2]))
    for fd in fds: os.close(fd)
`;

function endWithTest(child: ChildProcess): void {
  onTestFinished(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
}

/** Listens where systemd would; what it heard, one line a message. @param seconds it takes for each */
async function startReceiver(folder: Folder, seconds: number): Promise<{ path: string; heard: string[] }> {
  const path = join(folder.path, 'notify');
  const child = spawn('python3', ['-c', RECEIVER, path, `${seconds}`], { stdio: ['ignore', 'pipe', 'inherit'] });
  endWithTest(child);
  const heard: string[] = [];
  child.stdout.setEncoding('utf8').on('data', (text: string) => heard.push(...text.split('\n').filter(Boolean)));
  await expect.poll(() => heard).toEqual(['bound']);
  heard.length = 0;
  return { path, heard };
}

describe.skipIf(!installed && !process.env['CI'])('systemd', () => {
  it.each([
    { when: 'it reads at once', seconds: 0 },
    { when: 'it takes twice as long as the watchdog is quick', seconds: 0.4 },
  ])('hears when the sidecar is ready, alive, reloading and stopping, when $when', async ({ seconds }) => {
    const folder = createFolder();
    onTestFinished(() => folder[Symbol.dispose]());
    const tokens = await startTokenServer();
    onTestFinished(tokens.close);
    const { path, heard } = await startReceiver(folder, seconds);
    await using api = await startUpstream(() => undefined);
    const listen = `127.0.0.1:${await freePort()}`;
    const secret = folder.write('secret', 'a-client-secret');
    const file = folder.write(
      'config.yaml',
      JSON.stringify({
        listen,
        admin: '127.0.0.1:0',
        credentials: { default: { tokenEndpoint: tokens.url, clientId: 'erp', secrets: [{ file: secret }] } },
        routes: [{ path: '/api', upstream: api.url }],
      }),
    );
    const env = { PATH: process.env['PATH'], NOTIFY_SOCKET: path, WATCHDOG_USEC: '600000' };
    const child = spawn(process.execPath, ['src/main.ts', 'serve', '--config', file], {
      cwd: ROOT,
      env,
      stdio: 'ignore',
    });
    endWithTest(child);
    const hears = (message: RegExp, count = 1) =>
      expect.poll(() => heard.filter((line) => message.test(line)).length).toBeGreaterThanOrEqual(count);
    await hears(/^READY=1 STATUS=serving$/);
    await hears(/^WATCHDOG=1$/, 4);
    child.kill('SIGHUP');
    await hears(/^READY=1/, 2);
    const order = heard.filter((line) => !/^(?:WATCHDOG|BARRIER)=/.test(line));
    expect(order).toEqual([
      'READY=1 STATUS=serving',
      expect.stringMatching(/^RELOADING=1 MONOTONIC_USEC=\d+$/),
      'READY=1 STATUS=serving',
    ]);
    // Once it has drained, it waits for the message for a second: less than a busy machine may need.
    const running = fetch(`http://${listen}/api/x`);
    await until('a call is under way', () => api.requests.length === 1);
    child.kill('SIGTERM');
    await hears(/^STOPPING=1 STATUS=draining$/);
    api.requests[0]?.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    const [[code], { status }] = await Promise.all([once(child, 'exit'), running]);
    expect([code, status]).toEqual([0, 200]);
  });
});
