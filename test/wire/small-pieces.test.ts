// Content in pieces as small as can be, both ways: it is held and forwarded in blocks, and arrives as it was sent.
import { describe, expect, it } from 'vitest';
import { createDeadline } from '../support/deadline.ts';
import { untilQuiet } from '../support/own-time.ts';
import { createProxyWorld, type ProxyWorld } from '../support/proxy-world.ts';
import { untilStill } from '../support/until-still.ts';

const COUNT = 200_000;
const LETTERS = 'abcdefghijklmnopqrstuvwxyz';
const content = (count: number) => LETTERS.repeat(Math.ceil(count / LETTERS.length)).slice(0, count);
const chunked = (text: string) => `${Array.from(text, (letter) => `1\r\n${letter}\r\n`).join('')}0\r\n\r\n`;
const chunksIn = (bytes = '') => bytes.split(/\r\n[0-9a-f]+\r\n/).length;

async function upload(world: ProxyWorld, count: number): Promise<number> {
  const head = `POST /api/x HTTP/1.1\r\n${world.host}Transfer-Encoding: chunked\r\n\r\n`;
  using caller = await world.open();
  caller.send(head + chunked(content(count)));
  expect((await caller.answer()).status).toBe(200);
  expect(world.upstream.requests.at(-1)?.body).toBe(content(count));
  return chunksIn(world.upstream.received.at(-1));
}

describe('chunks of one byte', () => {
  it.each([
    { what: 'that fits', count: 60_000, most: 2 },
    { what: 'that is streamed', count: COUNT, most: 200 },
  ])('of a caller reach the API in few pieces, in a body $what', async ({ count, most }) => {
    await using world = await createProxyWorld();
    expect(await upload(world, count)).toBeLessThan(most);
  });

  it('of a caller are held in blocks while another request is served', async () => {
    await using world = await createProxyWorld({ answer: () => undefined });
    using caller = await world.open();
    const posts = Array.from(
      { length: 2 },
      () => `POST /api/x HTTP/1.1\r\n${world.host}Transfer-Encoding: chunked\r\n\r\n`,
    );
    caller.send(posts.map((head) => head + chunked(content(30_000))).join(''));
    for (const round of [1, 2]) {
      await world.upstream.untilRequests(round);
      await untilQuiet();
      expect(world.upstream.requests.length).toBe(round);
      expect(world.upstream.requests.at(-1)?.body).toBe(content(30_000));
      world.upstream.requests.at(-1)?.socket.write('HTTP/1.1 204 No Content\r\n\r\n');
      expect((await caller.answer()).status).toBe(204);
    }
  });

  it('of an API reach the caller in few pieces', async () => {
    await using world = await createProxyWorld({
      answer: () => `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${chunked(content(COUNT))}`,
    });
    using caller = await world.open();
    caller.send(`GET /api/x HTTP/1.1\r\n${world.host}\r\n`);
    expect((await caller.answer()).body).toBe(content(COUNT));
    expect(chunksIn(caller.received)).toBeLessThan(500);
  });

  it('of an API are read no further than a caller reads, and all of them arrive', async () => {
    const bytes = chunked(content(8 * COUNT));
    using deadline = createDeadline();
    await using world = await createProxyWorld({
      answer: () => `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${bytes}`,
      config: { timeouts: { idle: `${deadline.ms}ms` } },
    });
    using caller = await world.open({ paused: true });
    caller.send(`GET /api/x HTTP/1.1\r\n${world.host}\r\n`);
    await world.upstream.untilRequests(1);
    await untilStill(() => world.upstream.sockets[0]?.writableLength ?? 0);
    caller.read();
    expect((await caller.answer()).body.length).toBe(8 * COUNT);
  });
});
