// What Prometheus scrapes after real traffic, in the format it asks for, and that odd callers do not multiply series.

import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ERRORS } from '../../src/core/errors.ts';
import { METRIC_PREFIX, METRICS } from '../../src/core/metrics.ts';
import { createAdminWorld, samples } from '../support/admin-world.ts';
import { exchange } from '../support/raw.ts';
import { json } from '../support/token-server.ts';

const OPEN_METRICS = { headers: { Accept: 'application/openmetrics-text; version=1.0.0,text/plain;q=0.5' } };

describe('admin/server', () => {
  it('offers every metric of the table in both formats, in any order of asking', async () => {
    await using world = await createAdminWorld();
    expect((await fetch(`${world.sidecar.url}/api/x`)).status).toBe(200);
    for (const call of [undefined, OPEN_METRICS, undefined, OPEN_METRICS]) {
      const { status, headers, body } = await world.admin('/metrics', call);
      expect(status).toBe(200);
      expect(headers['content-type']).toMatch(
        call ? /^application\/openmetrics-text; version=1\.0\.0/ : /^text\/plain; version=0\.0\.4/,
      );
      for (const [name, { type }] of Object.entries(METRICS)) {
        const family = METRIC_PREFIX + (call && type === 'counter' ? name.replace(/_total$/, '') : name);
        expect(body, family).toContain(`# TYPE ${family} ${type}\n`);
      }
      expect(body.endsWith('# EOF\n')).toBe(call !== undefined);
      expect(samples(body, 'requests_total')).toEqual({ '{route="/api",method="GET",code="200"}': 1 });
    }
  });

  it('counts requests, refusals, look-ups and token requests', async () => {
    await using world = await createAdminWorld();
    expect((await fetch(`${world.sidecar.url}/api/x`)).status).toBe(200);
    expect((await fetch(`${world.sidecar.url}/api/x`, { headers: { Origin: 'https://evil.example' } })).status).toBe(
      403,
    );
    expect((await fetch(`${world.sidecar.url}/nothing`)).status).toBe(404);
    const expiry = samples((await world.admin('/metrics')).body, 'token_expiry_timestamp_seconds');
    expect(expiry['{credential="default",scope="api"}']).toBeGreaterThan(Date.now() / 1000);
    world.identity.answerWith(json(401, { error: 'invalid_client' }));
    await world.admin('/token/refresh', { method: 'POST' });
    expect((await fetch(`${world.sidecar.url}/api/x`)).status).toBe(503);
    const { body } = await world.admin('/metrics');
    // All codes are there from the start, so that a first one can be seen to rise.
    const errors = Object.entries(samples(body, 'errors_total'));
    expect(errors.length).toBe(Object.keys(ERRORS).length);
    expect(Object.fromEntries(errors.filter(([, count]) => count > 0))).toEqual({
      '{code="CALLER_ORIGIN"}': 1,
      '{code="ROUTE_NOT_FOUND"}': 1,
      '{code="CREDENTIALS_REJECTED"}': 1,
    });
    expect(samples(body, 'token_requests_total')).toEqual({
      '{credential="default",result="ok"}': 1,
      '{credential="default",result="invalid_client"}': 1,
    });
    expect(samples(body, 'token_consecutive_failures')).toEqual({ '{credential="default"}': 1 });
    // The operator dropped the token, and there is no other.
    expect(samples(body, 'token_expiry_timestamp_seconds')).toEqual({});
    expect(samples(body, 'secret_in_use')).toEqual({ '{credential="default",secret="1"}': 0 });
    expect(samples(body, 'requests_in_flight')).toEqual({ '': 0 });
  });

  it('has no more series after paths, methods and error codes nobody expects', async () => {
    await using world = await createAdminWorld();
    const count = async () =>
      (await world.admin('/metrics')).body.split('\n').filter((line) => line.startsWith(METRIC_PREFIX)).length;
    const strange = async (round: number) => {
      await exchange(
        world.sidecar.port,
        `PROPFIND /path-${round} HTTP/1.1\r\nHost: 127.0.0.1:${world.sidecar.port}\r\nConnection: close\r\n\r\n`,
      );
      await fetch(`${world.sidecar.url}/nothing-${round}`, { headers: { 'X-Request-Id': `id-${round}` } });
      world.identity.answerWith(json(400, { error: `invented-${round}` }));
      await world.admin('/token/refresh', { method: 'POST' });
    };
    await strange(0);
    const before = await count();
    for (let round = 1; round <= 5; round += 1) await strange(round);
    expect(await count()).toBe(before);
  });

  it('says which routes work, by their own calls, and no more of a route that a reload takes away', async () => {
    const [works, fails] = [
      { path: '/none', upstream: 'http://127.0.0.1:9' },
      { path: '/down', upstream: 'http://127.0.0.1:9' },
    ];
    await using world = await createAdminWorld({ routes: [works, fails] });
    const working = async () => samples((await world.admin('/metrics')).body, 'route_working');
    await expect.poll(working).toEqual({ '{route="/none"}': 1, '{route="/down"}': 1 });
    expect((await fetch(`${world.sidecar.url}/down/x`)).status).toBe(502);
    expect(await working()).toEqual({ '{route="/none"}': 1, '{route="/down"}': 0 });
    const config = JSON.parse(readFileSync(world.sidecar.file, 'utf8')) as object;
    writeFileSync(world.sidecar.file, JSON.stringify({ ...config, routes: [works] }));
    world.sidecar.reload();
    await expect.poll(working).toEqual({ '{route="/none"}': 1 });
  });
});
