/** HAProxy watches the sidecar as it watches any server: by `option httpchk`, which is HTTP/1.0 without a Host. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createAdminWorld } from '../support/admin-world.ts';
import { createFolder } from '../support/folder.ts';
import { json } from '../support/token-server.ts';

const installed = spawnSync('haproxy', ['-v']).status === 0;

/** What HAProxy thinks of each server, by the result of its last check: `ready UP L7OK 200`. */
async function verdicts(statsSocket: string): Promise<string[]> {
  const answer = text(connect(statsSocket).end('show stat\n'));
  const [header = '', ...lines] = (await answer).replace(/^# /, '').trim().split('\n');
  const names = header.split(',');
  const at = (line: string, name: string) => line.split(',')[names.indexOf(name)];
  return lines
    .filter((line) => at(line, 'type') === '2')
    .map((line) => ['svname', 'status', 'check_status', 'check_code'].map((name) => at(line, name)).join(' '))
    .sort();
}

async function watch(adminUrl: string): Promise<() => Promise<string[]>> {
  const folder = createFolder();
  const stats = join(folder.path, 'stats');
  const { host } = new URL(adminUrl);
  const backend = (name: string) => `backend ${name}
  option httpchk GET /${name}z
  server ${name} ${host} check inter 100 fastinter 100 rise 1 fall 1`;
  const file = folder.write(
    'haproxy.cfg',
    `global
  stats socket ${stats}
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
${backend('live')}
${backend('ready')}
`,
  );
  const child = spawn('haproxy', ['-db', '-q', '-f', file], { stdio: 'ignore' });
  onTestFinished(async () => {
    child.kill('SIGTERM');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    folder[Symbol.dispose]();
  });
  return () => verdicts(stats).catch(() => []);
}

describe.skipIf(!installed && !process.env['CI'])('HAProxy with option httpchk', () => {
  it('takes a sidecar that is ready for up', async () => {
    await using world = await createAdminWorld();
    const seen = await watch(world.sidecar.adminUrl);
    await expect.poll(seen).toEqual(['live UP L7OK 200', 'ready UP L7OK 200']);
  });

  it('takes one that has no token for down, though it lives', async () => {
    await using world = await createAdminWorld({}, json(500, {}));
    const seen = await watch(world.sidecar.adminUrl);
    await expect.poll(seen).toEqual(['live UP L7OK 200', 'ready DOWN L7STS 503']);
  });
});
