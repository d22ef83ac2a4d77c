/** Callers that wait for a token of a configuration which is replaced meanwhile: it finishes what it has begun. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { createFakeClock } from '../support/clock.ts';
import { createProxyWorld } from '../support/proxy-world.ts';
import { ok } from '../support/raw.ts';
import { startTestSidecar } from '../support/sidecar.ts';
import { grant, json, startTokenServer, type TokenAnswerer } from '../support/token-server.ts';
import { startUpstream } from '../support/upstream.ts';

/** Two secrets, of which the server knows the second; the first one changes in its file when the test says so. */
function twoSecrets() {
  const folder = mkdtempSync(join(tmpdir(), 'aritma-two-secrets-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const files = ['first', 'second'].map((name) => join(folder, name));
  const [first = '', second = ''] = files;
  writeFileSync(first, 'old-secret', { mode: 0o600 });
  writeFileSync(second, 'known-secret', { mode: 0o600 });
  return { secrets: files.map((file) => ({ file })), change: () => writeFileSync(first, 'new-secret') };
}

/** A caller waits for the first token, the secret changes, and then the first token request is answered so. */
async function statusAfterReload(answerFirst: TokenAnswerer): Promise<number> {
  const { secrets, change } = twoSecrets();
  const upstream = await startUpstream(() => ok('fine'));
  const tokens = await startTokenServer();
  const { promise: reloaded, resolve: release } = Promise.withResolvers<void>();
  tokens.answerWith((res, call, count) => {
    const known = call.form.get('client_secret') === 'known-secret';
    const answer = known ? grant(`token-${count}`) : json(401, { error: 'invalid_client' });
    if (count > 1) answer(res, call, count);
    else void reloaded.then(() => answerFirst(res, call, count));
  });
  const sidecar = await startTestSidecar({
    upstream: upstream.url,
    tokenEndpoint: tokens.url,
    credential: { secrets },
  });
  onTestFinished(async () => {
    await sidecar.stop();
    await tokens.close();
    await upstream[Symbol.asyncDispose]();
  });
  const waiting = fetch(`${sidecar.url}/api/accounts`);
  await expect.poll(() => tokens.calls.length).toBe(1);
  // The caller is in before the new configuration is.
  await expect
    .poll(async () => (await fetch(`${sidecar.adminUrl}/metrics`)).text())
    .toMatch(/^aritma_sidecar_requests_in_flight 1$/m);
  change();
  sidecar.reload();
  await expect.poll(() => sidecar.logs.map(({ message }) => message)).toContain('token obtained');
  release();
  return (await waiting).status;
}

// All of these find the connections of their configuration closed: they are closed to new requests as soon as there is
// another configuration, not when its last caller has left.
it('serves a caller that waits when the secret changes, if the server takes the secret it was asked with', async () => {
  expect(await statusAfterReload(grant('token-of-the-old-secret'))).toBe(200);
});

it('serves a caller that waits when the secret changes, if only the next secret is accepted', async () => {
  expect(await statusAfterReload(json(401, { error: 'invalid_client' }))).toBe(200);
});

it('serves a caller that is in the middle of its body when the secret changes', async () => {
  await using world = await createProxyWorld();
  using caller = await world.open();
  caller.send(`POST /api/payments HTTP/1.1\r\n${world.host}Content-Length: 10\r\n\r\n01234`);
  await expect.poll(world.inFlight).toBe(1);
  writeFileSync(world.sidecar.secretFile, 'another-secret');
  world.sidecar.reload();
  caller.send('56789');
  expect((await caller.answer()).status).toBe(200);
});

it('sends a refused request again with a new token when the secret changes before the refusal', async () => {
  let refuse = () => undefined as unknown;
  const clock = createFakeClock(Date.now());
  await using world = await createProxyWorld({
    clock,
    answer({ socket }, index) {
      if (index > 0) return ok('fine');
      const challenge = 'WWW-Authenticate: Bearer error="invalid_token"\r\nContent-Length: 0\r\n\r\n';
      refuse = () => socket.write(`HTTP/1.1 401 Unauthorized\r\n${challenge}`);
      return undefined;
    },
  });
  // A token younger than a second is not renewed.
  await clock.advance(1100);
  using caller = await world.open();
  caller.send(`GET /api/accounts HTTP/1.1\r\n${world.host}\r\n`);
  await world.upstream.untilRequests(1);
  writeFileSync(world.sidecar.secretFile, 'another-secret');
  world.sidecar.reload();
  refuse();
  expect((await caller.answer()).status).toBe(200);
});

it('closes the connections of the configuration before, once no request of it is left', async () => {
  const { promise: answered, resolve: answer } = Promise.withResolvers<void>();
  await using world = await createProxyWorld({
    config: { log: { level: 'info' } },
    answer({ socket }) {
      void answered.then(() => socket.write(ok('fine')));
      return undefined;
    },
  });
  const waiting = world.call('GET /api/x HTTP/1.1');
  await expect.poll(() => world.upstream.requests.length).toBe(1);
  const text = readFileSync(world.sidecar.file, 'utf8');
  writeFileSync(world.sidecar.file, text.replace('"level":"info"', '"level":"warn"'));
  world.sidecar.reload();
  expect(world.upstream.closed).toBe(0);
  answer();
  expect((await waiting).status).toBe(200);
  await expect.poll(() => world.upstream.closed).toBe(1);
});
