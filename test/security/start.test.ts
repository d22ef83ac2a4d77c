/** Rows that are decided before the first caller: A15, A23, A24 and P36, each by starting the program. */
import { createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { startAttackUpstream } from '../support/attack-upstream.ts';
import { MAIN } from '../support/cli.ts';
import { COMPILED } from '../support/compiled.ts';
import { createWorld } from '../support/world.ts';

describe('the sidecar at its start', () => {
  it.concurrent.each([
    ['A23', 'a full-width dot', 'https://bank。example'],
    ['A23', 'a NUL', 'https://bank\0.example'],
    ['A23', 'a name and password', 'https://u:fake@bank.example'],
    ['A15', 'a line break in its path', 'https://bank.example/a\r\nX-Evil: 1'],
    ['A15', 'a fragment', 'https://bank.example/#x'],
    ['R48', 'no TLS to another machine', 'http://bank.example'],
  ])('%s an upstream with %s: refused with exit code 2', async (_id, _what, upstream) => {
    await using world = await createWorld('http://127.0.0.1:1');
    const { code } = await world.launch({ routes: [{ path: '/api', upstream }] }).ended;
    expect(code).toBe(2);
  });

  it.concurrent.each([
    ['on the command line of Node', ['--insecure-http-parser'], {}],
    ['in NODE_OPTIONS', [], { NODE_OPTIONS: '--report-on-signal' }],
    ['that records the keys of TLS', [], { SSLKEYLOGFILE: '/dev/null' }],
  ])('an option %s that would undo its promises: refused with exit code 2', async (_what, nodeArgs, env) => {
    await using world = await createWorld('http://127.0.0.1:1');
    const program = [process.execPath, ...nodeArgs, MAIN];
    const { code, stderr } = await world.launch({}, { program, env: { ...COMPILED, ...env } }).ended;
    expect([code, stderr]).toEqual([2, expect.stringMatching(/arguments of node|NODE_OPTIONS|SSLKEYLOGFILE/)]);
  });

  it.concurrent('P36 a second sidecar on the same port: it ends with exit code 3, the first goes on', async () => {
    await using upstream = await startAttackUpstream();
    await using world = await createWorld(upstream.url);
    const first = await world.serve();
    const second = world.launch({ listen: new URL(first.url).host });
    expect((await second.ended).code).toBe(3);
    expect((await fetch(`${first.url}/api/x`)).status).toBe(200);
  });

  it.concurrent('A24 an outbound proxy that fails: its password is nowhere in the output', async () => {
    const proxy = createServer((socket) => socket.on('error', () => undefined).end('HTTP/1.1 407 No\r\n\r\n'));
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    const address = proxy.address();
    const port = typeof address === 'object' ? address?.port : 0;
    await using world = await createWorld('http://127.0.0.1:1');
    const routes = [{ path: '/api', upstream: 'https://bank.example' }];
    const env = { HTTPS_PROXY: `http://user:FAKE-PROXY-PASSWORD@127.0.0.1:${port}` };
    const running = await world.serve({ routes, log: { level: 'debug', format: 'json' } }, { env });
    expect((await fetch(`${running.url}/api/x`)).status).toBe(502);
    expect(running.stdout() + running.stderr()).not.toContain('FAKE-PROXY-PASSWORD');
    proxy.close();
  });
});
