/** A token that the API blames in calls that cannot go again: it is renewed, and nobody else waits or fails for that. */
import { expect, it } from 'vitest';
import { createFakeClock } from '../support/clock.ts';
import { untilQuiet } from '../support/own-time.ts';
import { createProxyWorld } from '../support/proxy-world.ts';
import { ok } from '../support/raw.ts';
import { json } from '../support/token-server.ts';

const REFUSED = 'HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer error="invalid_token"\r\nContent-Length: 0\r\n\r\n';
const MIB = 'x'.repeat(1024 * 1024);
const UPLOAD = `Content-Length: ${MIB.length}\r\n\r\n${MIB}`;

async function createWorld() {
  // It stands still: whoever had to wait for the pace of token requests would wait for ever.
  const clock = createFakeClock();
  const world = await createProxyWorld({ clock, answer: ({ target }) => (target === '/bad' ? REFUSED : ok('fine')) });
  return {
    world,
    upload: () => world.call('POST /api/bad HTTP/1.1', UPLOAD),
    get: () => world.call('GET /api/x HTTP/1.1'),
  };
}

it('is renewed no more often than the pace allows, and other calls go on with the one there is', async () => {
  const { world, upload, get } = await createWorld();
  await using _ = world;
  for (let calls = 0; calls < 5; calls += 1) {
    expect((await upload()).status).toBe(401);
    expect((await get()).status).toBe(200);
  }
  await expect.poll(() => world.tokens.calls.length).toBe(2);
  await untilQuiet();
  expect(world.tokens.calls).toHaveLength(2);
});

it('stays in use for other calls while the identity server is down', async () => {
  const { world, upload, get } = await createWorld();
  await using _ = world;
  expect((await get()).status).toBe(200);
  world.tokens.answerWith(json(500, {}));
  expect((await upload()).status).toBe(401);
  await expect.poll(() => world.tokens.calls.length).toBe(2);
  expect((await get()).status).toBe(200);
});
