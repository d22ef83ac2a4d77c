/**
 * A page of the API, opened by hand through the port: it is shown, and nothing in it reads other calls, although to the browser
 * all of them are of one origin. Through the naive proxy it reads them.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chromiumIsMissing, startBrowser } from '../support/browser-world.ts';
import { untilQuiet } from '../support/own-time.ts';
import { createProxyWorld, type ProxyWorld } from '../support/proxy-world.ts';
import { ok } from '../support/raw.ts';

const READ = `(answer) => { document.title = answer; }`;
const WAYS: Readonly<Record<string, string>> = {
  fetch: `fetch('SECRET').then((answer) => answer.text()).then(${READ})`,
  XMLHttpRequest: `const ask = new XMLHttpRequest(); ask.onload = () => (${READ})(ask.responseText); ask.open('GET', 'SECRET'); ask.send()`,
  'a frame': `const frame = document.createElement('iframe'); frame.src = 'SECRET';
    frame.onload = () => (${READ})(frame.contentDocument.body.textContent); document.body.append(frame)`,
  'a worker': `const code = "fetch('" + location.origin + "SECRET').then((answer) => answer.text()).then(postMessage)";
    new Worker(URL.createObjectURL(new Blob([code]))).onmessage = ({ data }) => (${READ})(data)`,
};

const html = (script: string) =>
  ok(`<!doctype html><title>shown</title><h1>statement</h1><script>${script}</script>`, 'Content-Type: text/html\r\n');

describe.skipIf(chromiumIsMissing())('a page of the API in chromium', () => {
  let browser: Browser;
  let world: ProxyWorld;
  let naive: { readonly port: number; readonly end: () => Promise<void> };

  beforeAll(async () => {
    browser = await startBrowser();
    world = await createProxyWorld({
      answer({ target }) {
        const way = /^\/page\/(.*)\/(.*)$/.exec(decodeURIComponent(target));
        if (!way) return ok('balance 4711', 'Content-Type: text/plain\r\n');
        return html((WAYS[way[1] ?? ''] ?? '').replaceAll('SECRET', `/api/secret`));
      },
    });
    const script = new URL('../support/naive-proxy.ts', import.meta.url).pathname;
    const child = fork(script, [world.upstream.url], { stdio: ['ignore', 'ignore', 'ignore', 'ipc'], execArgv: [] });
    const [port] = (await once(child, 'message')) as [number];
    naive = { port, end: async () => void (child.kill('SIGKILL') && (await once(child, 'exit'))) };
  });
  afterAll(async () => {
    await browser?.close();
    await naive?.end();
    await world?.[Symbol.asyncDispose]();
  });

  /** Opens the page and gives back what it shows, and a way to its title. */
  async function open(port: number, way: string) {
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(`http://127.0.0.1:${port}/api/page/${encodeURIComponent(way)}/${port}`);
    return { heading: await page.textContent('h1'), title: () => page.title(), end: () => context.close() };
  }

  it.each(Object.keys(WAYS))('is shown, and reads nothing by %s', async (way) => {
    const free = await open(naive.port, way);
    await expect.poll(free.title).toBe('balance 4711');
    await free.end();
    const before = world.upstream.requests.length;
    const shown = await open(world.sidecar.port, way);
    await untilQuiet();
    expect([shown.heading, await shown.title()]).toEqual(['statement', 'shown']);
    expect(world.upstream.requests.slice(before).map(({ target }) => target)).not.toContain('/secret');
    await shown.end();
  });

  it('that is plain text is shown as ever', async () => {
    const page = await browser.newPage();
    await page.goto(`${world.sidecar.url}/api/secret`);
    expect(await page.textContent('body')).toBe('balance 4711');
    await page.close();
  });
});
