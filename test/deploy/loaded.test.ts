/** What an idle sidecar has loaded. A new name costs every start time and memory: add it only with a reason. */
import { once } from 'node:events';
import { get } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Loaded, startWatched, type Watched } from '../support/loaded-modules.ts';
import { startTokenServer, type TokenServer } from '../support/token-server.ts';
import { type ScriptedUpstream, startUpstream } from '../support/upstream.ts';

describe('modules loaded by serve', () => {
  let tokens: TokenServer;
  let upstream: ScriptedUpstream;
  let watched: Watched;
  let idle: Loaded;
  beforeAll(async () => {
    tokens = await startTokenServer();
    upstream = await startUpstream(() => 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    watched = await startWatched({ upstream: upstream.url, tokenEndpoint: tokens.url });
    idle = await watched.loaded();
  });
  afterAll(async () => {
    await watched[Symbol.asyncDispose]();
    await upstream[Symbol.asyncDispose]();
    await tokens.close();
  });
  it('x', async () => {
    console.log(JSON.stringify(idle, null, 1));
    const [response] = await once(get(`http://127.0.0.1:${watched.sidecar.port}/api/x`, { agent: false }), 'response');
    response.resume();
    const after = await watched.loaded();
    console.log(JSON.stringify(after.node.filter((x) => !idle.node.includes(x))), after.packages.length, idle.packages.length);
    const [page] = await once(get(`${watched.sidecar.adminUrl}/metrics`, { agent: false }), 'response');
    page.resume();
    await once(page, 'end');
    const scrape = await watched.loaded();
    console.log(JSON.stringify(scrape.node.filter((x) => !idle.node.includes(x))), scrape.packages.length, idle.packages.length);
    expect(1).toBe(1);
  });
});
