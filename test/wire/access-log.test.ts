/** What the log tells of a request, and that its level changes without a restart. */
import { readFileSync, writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { valuesOf } from '../support/messages.ts';
import { createProxyWorld } from '../support/proxy-world.ts';
import { ok } from '../support/raw.ts';

const TRACE = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

it('has trace, bytes and the API’s own time of a request; the trace goes on byte for byte', async () => {
  await using world = await createProxyWorld({
    answer({ socket }) {
      setTimeout(() => socket.write(ok('fine')), 50);
      return undefined;
    },
  });
  const lines = `Traceparent: ${TRACE}\r\ntracestate: a=1, b=2\r\nContent-Length: 5\r\n\r\nhello`;
  await world.call('POST /api/x?q=1 HTTP/1.1', lines);
  const [line] = world.sidecar.logs.filter(({ message }) => message === 'request');
  expect(line).toMatchObject({
    traceparent: TRACE,
    bytesIn: 5,
    bytesOut: 4,
    status: 200,
    path: '/api/x',
    caller: 'anyone',
  });
  expect(Number(line?.['upstreamMs'])).toBeGreaterThanOrEqual(45);
  expect(Number(line?.['upstreamMs'])).toBeLessThanOrEqual(Number(line?.['ms']));
  const seen = world.upstream.requests.flatMap((one) => [valuesOf(one, 'traceparent'), valuesOf(one, 'tracestate')]);
  expect(seen).toEqual([[TRACE], ['a=1, b=2']]);
});

it('counts an answer that the API breaks off as the API’s failure, one that the caller leaves as the caller’s', async () => {
  await using world = await createProxyWorld({
    answer({ socket }) {
      socket.end('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf');
      return undefined;
    },
  });
  using caller = await world.open();
  caller.send(`GET /api/x HTTP/1.1\r\n${world.host}\r\n`);
  await caller.ended();
  await expect
    .poll(() => world.sidecar.logs.find(({ message }) => message === 'request'))
    .toMatchObject({ status: 502 });
});

it('changes its level when the configuration does', async () => {
  await using world = await createProxyWorld({ config: { log: { level: 'info' } } });
  const level = (from: string, to: string) => {
    const text = readFileSync(world.sidecar.file, 'utf8');
    writeFileSync(world.sidecar.file, text.replace(`"level":"${from}"`, `"level":"${to}"`));
    world.sidecar.reload();
  };
  const count = () => world.sidecar.logs.filter(({ message }) => message === 'request').length;
  level('info', 'error');
  await world.call('GET /api/x HTTP/1.1');
  level('error', 'info');
  await world.call('GET /api/x HTTP/1.1');
  await expect.poll(count).toBe(1);
});

it('shows a refused Host escaped and cut, and tells its caller which there are, but no names of others', async () => {
  await using world = await createProxyWorld({ config: { callers: { hosts: ['canary.example:7080'] } } });
  const { port } = world.sidecar;
  const refused = async (line: string, host: string) => {
    using caller = await world.open();
    caller.send(`GET ${line} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    const answer = await caller.answer();
    return { code: answer.json()['code'], detail: String(answer.json()['detail']) };
  };
  const first = await refused('/api/x', `erp.example:${port}`);
  expect(first.code).toBe('CALLER_HOST');
  expect(first.detail).toContain(`127.0.0.1:${port}, localhost:${port}, [::1]:${port}`);
  expect(first.detail).not.toMatch(/canary|erp\.example/);
  await refused('/api/x', 'x'.repeat(300));
  await refused('http://evil.example/api/x', `127.0.0.1:${port}`);
  const logged = () =>
    world.sidecar.logs.flatMap(({ code, refusedHost }) => (code === 'CALLER_HOST' ? refusedHost : []));
  await expect.poll(logged).toEqual([`erp.example:${port}`, `${'x'.repeat(79)}…`, 'evil.example']);
});
