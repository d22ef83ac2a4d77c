// The first minute of a newcomer: the demo prints what it promises and ends when told.
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import WebSocket from 'ws';
import { addressesOf, jsonLines, run, start } from '../support/cli.ts';
import { createInside } from '../support/cli-inside.ts';
import { createFolder } from '../support/folder.ts';

const inside = createInside();
afterAll(() => inside[Symbol.asyncDispose]());

const ANY_PORTS = ['--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--emulator', '127.0.0.1:0'];

describe('demo', () => {
  it('with --once prints the API’s JSON, nothing else, and exits 0', async () => {
    const { code, stdout, stderr } = await run(['demo', '--once', ...ANY_PORTS]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout.trim().split('\n')).toHaveLength(1);
    expect(Object.keys(JSON.parse(stdout) as object).length).toBeGreaterThan(0);
  });

  it('prints three addresses and a curl line that works, and exits 0 on Ctrl-C', async () => {
    await using demo = start(['demo', ...ANY_PORTS]);
    const [line] = await demo.untilStdout(/^.*"demo is running".*\n/m);
    const { sidecar, admin, aritma, try: curl } = JSON.parse(line) as Record<string, string>;
    for (const url of [sidecar, admin, aritma]) expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    const [, url = ''] = /^curl (http:\S+)$/.exec(curl ?? '') ?? [];
    const answer = await fetch(url);
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, expect.stringMatching(/json/)]);
    demo.kill('SIGINT');
    const ended = await demo.ended;
    expect(ended).toMatchObject({ code: 0, stderr: '' });
    expect(jsonLines(ended.stdout).length).toBeGreaterThan(3);
  });

  it('echoes WebSockets under /echo, by http-proxy-3 through the sidecar, and ends with one open', async () => {
    await using demo = start(['demo', ...ANY_PORTS]);
    const [line] = await demo.untilStdout(/^.*"demo is running".*\n/m);
    const { sidecar = '' } = JSON.parse(line) as Record<string, string>;
    const client = new WebSocket(`${sidecar.replace('http', 'ws')}/echo/anything`);
    await once(client, 'open');
    for (const said of ['hëllo', Buffer.from([0, 255, 128]), Buffer.alloc(1_000_000, 'x')]) {
      client.send(said);
      const [heard, isBinary] = (await once(client, 'message')) as [Buffer, boolean];
      expect([heard.equals(Buffer.from(said)), isBinary]).toEqual([true, typeof said !== 'string']);
    }
    const closed = once(client, 'close');
    client.close(4321, 'enough');
    expect((await closed)[0]).toBe(4321);
    const refused = new WebSocket(`${sidecar.replace('http', 'ws')}/banking/accounts`);
    refused.on('error', () => undefined);
    const [, response] = (await once(refused, 'unexpected-response')) as [unknown, { statusCode: number }];
    expect(response.statusCode).toBe(200);
    const left = new WebSocket(`${sidecar.replace('http', 'ws')}/echo`);
    left.on('error', () => undefined);
    await once(left, 'open');
    demo.kill('SIGINT');
    await demo.untilStdout(/"message":"stopping"/);
    demo.kill('SIGINT');
    expect(await demo.ended).toMatchObject({ code: 4, stderr: '' });
  });

  it('sends none of the machine’s own credentials anywhere', async () => {
    const env = {
      ARITMA_ENVIRONMENT: 'prod',
      ARITMA_CLIENT_ID: 'CANARY',
      ARITMA_CLIENT_SECRET: 'CANARY',
      ARITMA_TOKEN_ENDPOINT: 'https://CANARY.invalid',
      ARITMA_CONFIG: '/nonexistent',
    };
    expect(await inside.run(['demo', '--once', ...ANY_PORTS], { env })).toMatchObject({ code: 0, stderr: '' });
  });

  it('with --fleet says how to get a store where none is installed, exits 1 and leaves nothing behind', async () => {
    using folder = createFolder();
    const env = { PATH: join(folder.path, 'empty'), TMPDIR: folder.path };
    const ended = await inside.run(['demo', '--fleet', '3', ...ANY_PORTS], { env });
    expect(ended).toMatchObject({ code: 1, stdout: '' });
    for (const way of ['apt-get install valkey-server', 'apt-get install redis-server', 'docker compose']) {
      expect(ended.stderr).toContain(way);
    }
    const [, file = ''] = /docker compose -f (\S+)/.exec(ended.stderr) ?? [];
    expect(existsSync(join(import.meta.dirname, '../..', file))).toBe(true);
    expect(readdirSync(folder.path)).toEqual([]);
  });

  it.each(['1', '11', 'many', '-3', '2.5'])('exits 2 where --fleet is %s: no number from 2 to 10', async (number) => {
    const ended = await inside.run(['demo', `--fleet=${number}`, ...ANY_PORTS]);
    expect(ended).toMatchObject({ code: 2, stdout: '', stderr: expect.stringMatching(/--fleet: .*from 2 to 10/) });
  });

  it('exits 3 and names the address where a port is taken', async () => {
    await using first = start(['demo', ...ANY_PORTS]);
    const { url } = await addressesOf(first);
    const taken = url.replace('http://', '');
    for (const flag of ['--listen', '--admin', '--emulator']) {
      const ended = await inside.run(['demo', '--once', ...ANY_PORTS, flag, taken]);
      expect(ended, flag).toMatchObject({ code: 3, stdout: '', stderr: expect.stringContaining(taken) });
    }
  });
});

describe('emulate', () => {
  it('prints where it listens and the command of a sidecar for it, and exits 0 on SIGTERM', async () => {
    await using emulator = start(['emulate', '--listen', '127.0.0.1:0', '--token-lifetime', '5m']);
    const [line] = await emulator.untilStdout(/^.*\n/);
    const { url, clientId, clientSecret } = JSON.parse(line) as Record<string, string>;
    const form = { grant_type: 'client_credentials', client_id: clientId ?? '', client_secret: clientSecret ?? '' };
    const answer = await fetch(`${url}/connect/token`, { method: 'POST', body: new URLSearchParams(form) });
    expect(await answer.json()).toMatchObject({ expires_in: 300 });
    emulator.kill('SIGTERM');
    expect(await emulator.ended).toMatchObject({ code: 0, stderr: '' });
  });

  it('names the administrator, answers IAM as asked and keeps what was made for the next run', async () => {
    using folder = createFolder();
    const state = `${folder.path}/state.json`;
    const args = ['emulate', '--listen', '127.0.0.1:0', '--state', state, '--iam-responses', 'empty'];
    const names: string[][] = [];
    for (const clientCache of ['0s', '90s']) {
      await using emulator = start([...args, '--client-cache', clientCache]);
      const [line] = await emulator.untilStdout(/^.*\n/);
      const { url, adminClientId = '', adminClientSecret = '' } = JSON.parse(line) as Record<string, string>;
      const settings = (await (await fetch(`${url}/_emulator/iam`)).json()) as Record<string, unknown>;
      expect(settings).toMatchObject({ createResponse: 'empty', clientCacheS: clientCache === '0s' ? 0 : 90 });
      const form = { grant_type: 'client_credentials', client_id: adminClientId, client_secret: adminClientSecret };
      const answer = await fetch(`${url}/connect/token`, { method: 'POST', body: new URLSearchParams(form) });
      const { access_token } = (await answer.json()) as { access_token: string };
      const headers = { authorization: `Bearer ${access_token}`, 'content-type': 'application/json' };
      const fields = { description: '', allowedGrantTypes: [], allowedScopes: [], redirectUris: [] };
      const body = JSON.stringify({ name: `with ${clientCache}`, ...fields });
      const created = await fetch(`${url}/core/iam/v1/clients`, { method: 'POST', headers, body });
      expect([created.status, await created.text()]).toEqual([200, '']);
      const list = await fetch(`${url}/core/iam/v1/clients?searchText=with`, { headers });
      names.push(((await list.json()) as { items: { name: string }[] }).items.map(({ name }) => name));
      emulator.kill('SIGTERM');
      expect(await emulator.ended).toMatchObject({ code: 0, stderr: '' });
    }
    expect(names).toEqual([['with 0s'], ['with 0s', 'with 90s']]);
  });

  it('exits 2 and names the state file, when it is none, and does not touch it', async () => {
    using folder = createFolder();
    const state = folder.write('state.json', '{"mine": true}');
    const ended = await inside.run(['emulate', '--listen', '127.0.0.1:0', '--state', state]);
    expect(ended).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining(state) });
    expect(readFileSync(state, 'utf8')).toBe('{"mine": true}');
  });
});
