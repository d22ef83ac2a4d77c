// The status page as a person meets it in Chromium: live, without JavaScript, by keyboard, light and dark, narrow and wide.
import { readFileSync } from 'node:fs';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AdminWorld, createAdminWorld } from '../support/admin-world.ts';
import { chromiumIsMissing, startBrowser } from '../support/browser-world.ts';
import { TEST_SECRET } from '../support/sidecar.ts';
import { json } from '../support/token-server.ts';
import { violations } from './axe.ts';

interface Opened extends AsyncDisposable {
  readonly page: Page;
  /** Console errors, exceptions and violations of the policy. */
  readonly complaints: readonly string[];
  readonly requested: readonly string[];
}

describe.skipIf(chromiumIsMissing())('the status page in chromium', () => {
  let browser: Browser;
  let world: AdminWorld;
  beforeAll(async () => {
    [browser, world] = await Promise.all([startBrowser(), createAdminWorld({ adminActions: true })]);
    await fetch(`${world.sidecar.url}/api/x`);
  });
  afterAll(async () => {
    await browser?.close();
    await world?.[Symbol.asyncDispose]();
  });

  async function open(options: BrowserContextOptions = {}): Promise<Opened> {
    const context = await browser.newContext(options);
    const page = await context.newPage();
    const complaints: string[] = [];
    const requested: string[] = [];
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('request', (request) => requested.push(request.url()));
    await page.goto(world.sidecar.adminUrl);
    if (options.javaScriptEnabled !== false) await page.getByText('Live', { exact: true }).waitFor();
    return { page, complaints, requested, [Symbol.asyncDispose]: () => context.close() };
  }

  const generation = (page: Page) => page.locator('#credentials td[data-label=Generation]').textContent();
  const button = (page: Page) => page.getByRole('button', { name: 'Refresh the token of default' });

  it('shows a failed request and a new token without being loaded again, and keeps focus and scroll position', async () => {
    await using opened = await open({ viewport: { width: 800, height: 400 } });
    const { page } = opened;
    await page.evaluate('globalThis.mark = 1');
    await button(page).focus();
    await page.evaluate('scrollTo(0, 300)');
    const before = Number(await generation(page));
    await fetch(`${world.sidecar.url}/nowhere`);
    await page.locator('#errors').getByText('ROUTE_NOT_FOUND').first().waitFor();
    await world.admin('/token/refresh', { method: 'POST' });
    await expect.poll(() => generation(page)).toBe(String(before + 1));
    expect(await page.evaluate('[globalThis.mark, scrollY, document.activeElement.tagName]')).toEqual([
      1,
      300,
      'BUTTON',
    ]);
    expect(opened.complaints).toEqual([]);
  });

  it('counts down from second to second', async () => {
    await using opened = await open();
    const countdown = opened.page.locator('#now [data-until]').first();
    const first = await countdown.textContent();
    expect(first).toMatch(/^in \d+\sh|^in \d+\smin \d+\ss$/);
    await expect.poll(() => countdown.textContent(), { timeout: 5000 }).not.toBe(first);
  });

  it('shows local time beside UTC, also of what is added later, and nothing moves for that', async () => {
    // Where it is about noon: around midnight, some times have a date.
    const utcHour = new Date().getUTCHours();
    const offset = utcHour === 12 ? 1 : 12 - utcHour;
    const timezoneId = `Etc/GMT${offset > 0 ? '-' : '+'}${Math.abs(offset)}`;
    await using opened = await open({ timezoneId, viewport: { width: 1000, height: 1500 } });
    const { page } = opened;
    const times = () =>
      page.evaluate(`[...document.querySelectorAll('main time')].map(({ dateTime, textContent, nextSibling }) =>
        [dateTime, textContent, nextSibling.textContent, nextSibling.title])`) as Promise<string[][]>;
    await fetch(`${world.sidecar.url}/nowhere/${Math.random()}`);
    await page.locator('#errors').getByText('ROUTE_NOT_FOUND').first().waitFor();
    const shown = await times();
    expect(shown.length).toBeGreaterThan(4);
    for (const [at = '', utc = '', local = '', title = ''] of shown) {
      expect(utc).toContain(`${at.slice(11, 19)} UTC`);
      const there = new Date(Date.parse(at) + offset * 3_600_000).toISOString();
      expect(local).toBe(`(${there.slice(11, 19)} your time)`);
      expect(title).toMatch(offset > 0 ? /GMT\+\d\d00/ : /GMT-\d\d00/);
    }
    // In one task, so that nothing else changes the page: its places with the local times, and as it came, without them.
    const places = (await page.evaluate(`(() => {
      const places = () => [...document.querySelectorAll('main *:not(.local)')].map((element) => {
        const { x, y, width, height } = element.getBoundingClientRect();
        return [element.tagName, x, y, width, height].join(' ');
      });
      const after = places();
      for (const local of document.querySelectorAll('.local')) local.textContent = '';
      return { before: places(), after };
    })()`)) as { before: string[]; after: string[] };
    expect(places.after).toEqual(places.before);
  });

  it('leaves out local time where it is UTC', async () => {
    await using opened = await open({ timezoneId: 'UTC' });
    expect(await opened.page.locator('.local').first().isVisible()).toBe(false);
  });

  it('refetches the token by keyboard alone and says so, without leaving the page', async () => {
    await using opened = await open();
    const { page } = opened;
    const before = world.identity.calls.length;
    const order: unknown[] = [];
    for (let count = 0; count < 12 && order.at(-1) !== 'Refresh the token of default'; count += 1) {
      await page.keyboard.press('Tab');
      order.push(await page.evaluate('document.activeElement.textContent'));
    }
    expect(order).toEqual([
      'Routes',
      'Unknown outcomes',
      'Errors',
      'Credentials',
      'Configuration',
      'Support',
      'Refresh the token of default',
    ]);
    expect(await page.evaluate('getComputedStyle(document.activeElement).outlineStyle')).toBe('solid');
    await page.evaluate('globalThis.mark = 1');
    await page.keyboard.press('Enter');
    await page.getByText('The new token is in use.').waitFor();
    expect(world.identity.calls.length).toBe(before + 1);
    expect(await page.evaluate('[globalThis.mark, document.activeElement.tagName]')).toEqual([1, 'BUTTON']);
    expect(opened.complaints).toEqual([]);
  });

  it('downloads the support file, which holds neither secret nor token', async () => {
    await using opened = await open();
    const { page } = opened;
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('link', { name: 'Download support file' }).click(),
    ]);
    expect(download.suggestedFilename()).toMatch(/^aritma-sidecar-support-.*\.txt$/);
    const text = readFileSync(await download.path(), 'utf8');
    expect(text).toContain('==== ');
    expect(text).not.toContain(TEST_SECRET);
    expect(opened.complaints).toEqual([]);
  });

  it('says the same without JavaScript, loads itself again, and its button works', async () => {
    await using opened = await open({ javaScriptEnabled: false });
    const { page } = opened;
    const read = (await page.locator('main').textContent()) ?? '';
    expect(read).toMatch(/Can the API be called now\?\s*Yes/);
    expect(read).toMatch(/The token expires at .* UTC, in \d+ minutes/);
    expect(await page.locator('noscript meta').count()).toBe(1);
    expect(opened.requested).toEqual([`${world.sidecar.adminUrl}/`]);
    const before = Number(await generation(page));
    await button(page).click();
    await expect.poll(() => generation(page)).toBe(String(before + 1));
    expect(page.url()).toBe(`${world.sidecar.adminUrl}/`);
  });

  it('asks for nothing but itself, its events, and what its button sends', async () => {
    await using opened = await open();
    await button(opened.page).click();
    await opened.page.getByText('The new token is in use.').waitFor();
    const paths = opened.requested.map((url) => url.replace(world.sidecar.adminUrl, ''));
    expect(paths.filter((path) => path !== 'data:,').sort()).toEqual([
      '/',
      '/events',
      '/token/refresh?credential=default',
    ]);
    expect(opened.complaints).toEqual([]);
  });

  it('gives its connection back while nobody looks, and catches up afterwards', async () => {
    await using opened = await open();
    const { page } = opened;
    const look = (hidden: boolean) =>
      page.evaluate(`Object.defineProperty(document, 'hidden', { value: ${hidden}, configurable: true });
        document.dispatchEvent(new Event('visibilitychange'));
        [document.getElementById('word').textContent, document.body.classList.contains('stale')]`);
    const before = Number(await generation(page));
    await look(true);
    expect(await page.title()).toBe('aritma-sidecar: not known');
    await world.admin('/token/refresh', { method: 'POST' });
    await page.waitForTimeout(1500);
    expect(await generation(page)).toBe(String(before));
    // What stands there in the turn in which it is shown again, before anything can have been heard.
    expect(await look(false)).toEqual(['Not known', true]);
    await expect.poll(() => generation(page)).toBe(String(before + 1));
    expect(await page.locator('#word').textContent()).toMatch(/^Yes/);
    expect(opened.complaints).toEqual([]);
  });

  it('runs no script but its own', async () => {
    await using opened = await open();
    const inject = `document.body.append(Object.assign(document.createElement('script'), { text: 'globalThis.injected = 1' }))`;
    await opened.page.evaluate(inject);
    expect(await opened.page.evaluate('globalThis.injected')).toBeUndefined();
    await expect.poll(() => opened.complaints.join()).toContain('Content Security Policy');
  });

  it('has landmarks, headings and tables for a screen reader', async () => {
    await using opened = await open();
    const { page } = opened;
    for (const role of ['banner', 'navigation', 'main', 'contentinfo'] as const)
      expect(await page.getByRole(role).count(), role).toBe(1);
    const headings = await page.evaluate(
      `[...document.querySelectorAll('h1, h2, h3, h4')].map((one) => one.tagName + one.textContent)`,
    );
    expect(headings).toEqual([
      'H1aritma-sidecar',
      'H2Can the API be called now?',
      'H2Routes',
      'H3The last thirty minutes',
      'H2Payments and other calls with an unknown outcome',
      'H2Errors',
      'H2Credentials',
      'H3default',
      'H2Configuration',
      'H2Support',
    ]);
    const titles = ['Can the API be called now?', 'Credentials', 'Routes', 'Errors', 'Configuration'];
    for (const name of titles) expect(await page.getByRole('region', { name }).count(), name).toBe(1);
    const routes = page.getByRole('table', { name: /last five minutes/ });
    expect(await routes.getByRole('columnheader').count()).toBe(8);
    expect(await routes.getByRole('rowheader', { name: '/api' }).count()).toBe(1);
    for (const name of [
      /^\/api, the last thirty minutes: \d+ calls?, /,
      /^Callers send calls /,
      /^The token for api: /,
    ])
      expect(await page.getByRole('img', { name }).count(), String(name)).toBe(1);
  });

  it.each([
    ['light', 1280],
    ['dark', 1280],
    ['light', 320],
    ['dark', 320],
  ] as const)('has no fault that axe knows of and fits the window: %s, %d px wide', async (colorScheme, width) => {
    await fetch(`${world.sidecar.url}/nowhere`);
    // A page's policy holds for what is evaluated in it; axe comes in beside it.
    await using opened = await open({ colorScheme, viewport: { width, height: 800 }, bypassCSP: true });
    const { page } = opened;
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(width);
    expect(await violations(page)).toEqual([]);
    const [r = 0] =
      ((await page.evaluate('getComputedStyle(document.body).backgroundColor')) as string).match(/\d+/g)?.map(Number) ??
      [];
    expect(r > 128).toBe(colorScheme === 'light');
  });

  it.each(['light', 'dark'] as const)(
    'says no in words, colour and title in an outage, and yes again: %s',
    async (colorScheme) => {
      await using own = await createAdminWorld({ adminActions: true }, json(500, {}));
      const context = await browser.newContext({ bypassCSP: true, colorScheme });
      try {
        const page = await context.newPage();
        await fetch(`${own.sidecar.url}/api/x`);
        await page.goto(own.sidecar.adminUrl);
        const verdict = page.locator('.verdict');
        await expect.poll(() => verdict.textContent()).toMatch(/^No \/api fails: /);
        expect(await verdict.getAttribute('class')).toBe('verdict bad');
        await expect.poll(() => page.title()).toBe('aritma-sidecar: No');
        expect(await violations(page)).toEqual([]);
        own.identity.answerWith(json(200, { access_token: 'a', expires_in: 3600, token_type: 'Bearer' }));
        await expect.poll(async () => (await fetch(`${own.sidecar.url}/api/x`)).status).toBe(200);
        await expect.poll(() => verdict.textContent()).toMatch(/^Yes/);
        expect(await verdict.getAttribute('class')).not.toContain('bad');
        await expect.poll(() => page.title()).toMatch(/^aritma-sidecar: Yes/);
      } finally {
        await context.close();
      }
    },
  );

  it('says that it is out of date once the sidecar is gone', async () => {
    const own = await createAdminWorld();
    const context = await browser.newContext();
    try {
      const page = await context.newPage();
      await page.goto(own.sidecar.adminUrl);
      await page.getByText('Live', { exact: true }).waitFor();
      await own[Symbol.asyncDispose]();
      await page.getByText('Not connected: this page may be out of date').waitFor();
    } finally {
      await context.close();
    }
  });
});
