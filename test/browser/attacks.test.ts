// A page of somebody else's, open in a browser on the machine where the sidecar runs: nothing it can do reaches the API.
// Through the naive proxy everything does, so each attack is known to work.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type BrowserWorld,
  chromiumIsMissing,
  EVIL,
  startBrowser,
  startBrowserWorld,
} from '../support/browser-world.ts';

interface Attack {
  readonly name: string;
  /** Host of the hostile page. */
  readonly from: string;
  /** Host by which the page addresses the sidecar. */
  readonly to: string;
  /** Method that arrives where the attack succeeds. */
  readonly method: string;
  /** The page has the sidecar's own port, and its name is bound to the sidecar only afterwards. */
  readonly rebinds?: boolean;
  /** Expression in the page that settles when the attack is over, however it went; `TARGET` is the URL attacked. */
  readonly script: string;
}

const PAGE = '127.0.0.1';
const ON_THIS_MACHINE = { from: PAGE, to: '127.0.0.1' };
const PAYMENT = `JSON.stringify({ id: 'stolen', amount: { value: '1.00', currency: 'NOK' } })`;
const over = (promise: string) => `${promise}.then((answer) => answer.text(), String)`;
const noCors = (type: string, body: string) =>
  over(`fetch(TARGET, { method: 'POST', mode: 'no-cors', headers: { 'content-type': '${type}' }, body: ${body} })`);
const withHeader = (method: string, body: string) => `
  fetch(TARGET, { method: '${method}', headers: { 'content-type': 'application/json', 'x-custom': '1' }${body} })`;

/** An element that loads something; done when it has, or has not. */
const element = (tag: string, address: string) => `new Promise((resolve) => {
  const one = Object.assign(document.createElement('${tag}'), { ${address}: TARGET, onload: resolve, onerror: resolve });
  document.body.append(one);
}).then(() => 'over')`;

const FORM = `new Promise((resolve) => {
  const frame = Object.assign(document.createElement('iframe'), { name: 'sink' });
  const form = document.createElement('form');
  Object.assign(form, { method: 'post', enctype: 'text/plain', action: TARGET, target: 'sink' });
  // With this enctype a field becomes name=value: valid JSON.
  form.append(Object.assign(document.createElement('input'), { name: '{"id":"stolen","x":"', value: '"}' }));
  document.body.append(frame, form);
  frame.onload = resolve;
  form.submit();
}).then(() => 'over')`;

const WEB_SOCKET = `new Promise((resolve) => {
  const socket = new WebSocket(TARGET.replace('http', 'ws'));
  socket.onopen = socket.onclose = resolve;
}).then(() => 'over')`;

const BEACON = `new Promise((resolve) => {
  new PerformanceObserver(() => resolve('over')).observe({ type: 'resource' });
  navigator.sendBeacon(TARGET, ${PAYMENT});
})`;

const ATTACKS: readonly Attack[] = [
  {
    name: 'fetch without CORS, POST of text',
    ...ON_THIS_MACHINE,
    method: 'POST',
    script: noCors('text/plain', `'hi'`),
  },
  {
    name: 'fetch without CORS, POST of JSON as text',
    ...ON_THIS_MACHINE,
    method: 'POST',
    script: noCors('text/plain', PAYMENT),
  },
  {
    name: 'fetch with CORS of JSON and a header',
    ...ON_THIS_MACHINE,
    method: 'POST',
    script: over(withHeader('POST', `, body: ${PAYMENT}`)),
  },
  { name: 'a form of JSON as text', ...ON_THIS_MACHINE, method: 'POST', script: FORM },
  { name: 'a beacon', ...ON_THIS_MACHINE, method: 'POST', script: BEACON },
  { name: 'an image', ...ON_THIS_MACHINE, method: 'GET', script: element('img', 'src') },
  { name: 'an image of localhost', from: PAGE, to: 'localhost', method: 'GET', script: element('img', 'src') },
  {
    name: 'an image in a page that is not of this machine by name',
    from: EVIL,
    to: '127.0.0.1',
    method: 'GET',
    script: element('img', 'src'),
  },
  { name: 'a frame', ...ON_THIS_MACHINE, method: 'GET', script: element('iframe', 'src') },
  { name: 'a script', ...ON_THIS_MACHINE, method: 'GET', script: element('script', 'src') },
  { name: 'a WebSocket', ...ON_THIS_MACHINE, method: 'GET', script: WEB_SOCKET },
  { name: 'fetch of 0.0.0.0', from: PAGE, to: '0.0.0.0', method: 'POST', script: noCors('text/plain', PAYMENT) },
  { name: 'an image of 0.0.0.0', from: PAGE, to: '0.0.0.0', method: 'GET', script: element('img', 'src') },
  {
    name: 'fetch from another port of a rebound name',
    from: EVIL,
    to: EVIL,
    method: 'POST',
    script: over(withHeader('POST', `, body: ${PAYMENT}`)),
  },
  { name: 'an image by a rebound name', from: EVIL, to: EVIL, method: 'GET', script: element('img', 'src') },
  {
    name: 'a rebound page of the same origin that reads',
    from: EVIL,
    to: EVIL,
    rebinds: true,
    method: 'GET',
    script: over(withHeader('GET', '')),
  },
  {
    name: 'a rebound page of the same origin that pays',
    from: EVIL,
    to: EVIL,
    rebinds: true,
    method: 'POST',
    script: over(withHeader('POST', `, body: ${PAYMENT}`)),
  },
  { name: 'a WebSocket of a rebound page', from: EVIL, to: EVIL, rebinds: true, method: 'GET', script: WEB_SOCKET },
];

const LIMIT_MS = 8000;

/** @returns what the page got to read */
async function attack(browser: Browser, world: BrowserWorld, { from, to, rebinds, script }: Attack): Promise<string> {
  // A context of its own shares no connections with the attack before.
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    const load = (port: number) => page.goto(`http://${from}:${port}/`);
    if (rebinds) await world.whilePagesHaveThePort(() => load(world.port));
    else await load(world.pagePort);
    return await runIn(page, script.replaceAll('TARGET', `'http://${to}:${world.port}/api/payments'`));
  } finally {
    await context.close();
  }
}

async function runIn(page: Page, script: string): Promise<string> {
  const limit = `new Promise((resolve) => setTimeout(resolve, ${LIMIT_MS}, 'not over in time'))`;
  return String(await page.evaluate(`Promise.race([${script}, ${limit}])`));
}

describe.skipIf(chromiumIsMissing())('a hostile page in chromium', () => {
  let browser: Browser;
  let sidecar: BrowserWorld;
  let naive: BrowserWorld;
  beforeAll(async () => {
    [browser, sidecar, naive] = await Promise.all([
      startBrowser(),
      startBrowserWorld('sidecar'),
      startBrowserWorld('naive proxy'),
    ]);
  });
  afterAll(async () => {
    await browser?.close();
    await Promise.all([sidecar?.[Symbol.asyncDispose](), naive?.[Symbol.asyncDispose]()]);
  });

  it.each(ATTACKS)('$name: refused by the sidecar, through with the token at a naive proxy', async (row) => {
    const before = { refused: sidecar.refused().length, naive: naive.arrived.length, sidecar: sidecar.arrived.length };
    expect(await attack(browser, naive, row)).not.toBe('not over in time');
    await expect
      .poll(() => naive.arrived.slice(before.naive))
      .toContainEqual({
        method: row.method,
        authorization: 'Bearer token-1',
      });
    const read = await attack(browser, sidecar, row);
    expect(read).not.toBe('not over in time');
    expect(read).not.toContain('4711');
    // It came as far as the sidecar, which is why the API has nothing.
    await expect.poll(() => sidecar.refused().slice(before.refused)).not.toEqual([]);
    const codes = sidecar.refused().slice(before.refused);
    expect(codes.filter((code) => !['CALLER_HOST', 'CALLER_ORIGIN'].includes(code))).toEqual([]);
    expect(sidecar.arrived.slice(before.sidecar)).toEqual([]);
  });

  it('a rebound page reads the balance through a naive proxy', async () => {
    const row = ATTACKS.find(({ rebinds, method }) => rebinds && method === 'GET');
    if (!row) throw new Error('no such attack');
    expect(await attack(browser, naive, row)).toContain('4711');
  });

  it('a program on the same machine is served by the same sidecar, as the only one', async () => {
    const answer = await fetch(`http://127.0.0.1:${sidecar.port}/api/accounts`);
    expect([answer.status, await answer.text()]).toEqual([200, 'balance 4711']);
    expect(sidecar.arrived).toEqual([{ method: 'GET', authorization: 'Bearer token-1' }]);
  });
});
