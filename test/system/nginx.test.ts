/** A server that closes kept connections early and often, as nginx does when told to: no caller notices. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { createFolder, type Folder } from '../support/folder.ts';
import { freePort } from '../support/free-port.ts';
import { PATIENCE_MS } from '../support/own-time.ts';
import { startTestSidecar } from '../support/sidecar.ts';
import { startTokenServer } from '../support/token-server.ts';

const installed = spawnSync('nginx', ['-v']).status === 0;
const CALLS = 10_000;

/** Every answer takes one request away from its connection's seven, and idle ones are closed after a second. */
function configure(folder: Folder, port: number): string {
  for (const name of ['body', 'logs']) mkdirSync(join(folder.path, name));
  return folder.write(
    'nginx.conf',
    `daemon off; worker_processes 1; pid nginx.pid; error_log stderr crit;
events { worker_connections 256; }
http {
  access_log requests.log combined; client_body_temp_path body;
  proxy_temp_path body; fastcgi_temp_path body; uwsgi_temp_path body; scgi_temp_path body;
  keepalive_timeout 1s; keepalive_requests 7;
  server { listen 127.0.0.1:${port}; location / { return 200 'fine'; } }
}
`,
  );
}

interface Nginx {
  readonly url: string;
  /** Requests it has answered, by its own log. */
  seen(method: string): number;
}

async function startNginx(): Promise<Nginx> {
  const folder = createFolder();
  const port = await freePort();
  const file = configure(folder, port);
  const child = spawn('nginx', ['-p', folder.path, '-c', file], { stdio: ['ignore', 'ignore', 'pipe'] });
  onTestFinished(async () => {
    child.kill('SIGTERM');
    if (child.exitCode === null) await once(child, 'exit');
    folder[Symbol.dispose]();
  });
  const url = `http://127.0.0.1:${port}`;
  await vi.waitFor(async () => expect((await fetch(url)).status).toBe(200), { timeout: PATIENCE_MS });
  return {
    url,
    seen: (method) => readFileSync(join(folder.path, 'requests.log'), 'utf8').split(`"${method} /x`).length - 1,
  };
}

describe.skipIf(!installed && !process.env['CI'])('nginx with keepalive_requests 7 and keepalive_timeout 1s', () => {
  it(`answers ${CALLS} requests without one that a caller sees fail, and each POST once`, async () => {
    const nginx = await startNginx();
    const tokens = await startTokenServer();
    const sidecar = await startTestSidecar({
      upstream: nginx.url,
      tokenEndpoint: tokens.url,
      config: { log: { level: 'error' } },
    });
    const callers = new Agent({ connections: 8 });
    onTestFinished(async () => {
      await callers.destroy();
      await sidecar.stop();
      await tokens.close();
    });
    const statuses = new Map<string, number>();
    let calls = 0;
    const caller = async () => {
      while (calls < CALLS) {
        calls += 1;
        const method = calls % 4 === 0 ? 'POST' : 'GET';
        const answer = await request(`${sidecar.url}/api/x`, { method, dispatcher: callers });
        await answer.body.dump();
        const key = `${method} ${answer.statusCode}`;
        statuses.set(key, (statuses.get(key) ?? 0) + 1);
      }
    };
    await Promise.all(Array.from({ length: 8 }, caller));
    expect(statuses.get('GET 200')).toBe((CALLS * 3) / 4);
    // A POST on a connection that turns out dead is an honest 502, never a second try.
    expect((statuses.get('POST 200') ?? 0) + (statuses.get('POST 502') ?? 0)).toBe(CALLS / 4);
    expect(statuses.get('POST 502') ?? 0).toBeLessThanOrEqual(CALLS / 1000);
    // nginx writes its log when it has answered.
    await expect.poll(() => nginx.seen('POST')).toBe(statuses.get('POST 200'));
  });
});
