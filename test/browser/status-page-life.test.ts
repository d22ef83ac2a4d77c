// The status page through an outage and a restart of the sidecar, and what it looks like: pictures for people, kept by CI.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { createAdminWorld } from '../support/admin-world.ts';
import { chromiumIsMissing, startBrowser } from '../support/browser-world.ts';
import { startSidecarProcess } from '../support/sidecar-process.ts';
import { json, startTokenServer } from '../support/token-server.ts';
import { violations } from './axe.ts';

const colour = (page: Page) => page.evaluate(`getComputedStyle(document.querySelector('.verdict')).backgroundColor`);

/** Ignored by git; CI keeps what is in it. */
const PICTURES = join(import.meta.dirname, '../../artifacts');

describe.skipIf(chromiumIsMissing())('the status page over time', () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await startBrowser();
  });
  afterAll(() => browser?.close());

  async function openAt({ sidecar }: { readonly sidecar: { readonly adminUrl: string } }, options = {}) {
    const context = await browser.newContext(options);
    onTestFinished(() => context.close());
    const page = await context.newPage();
    await page.goto(sidecar.adminUrl);
    await page.getByText('Live', { exact: true }).waitFor();
    return page;
  }

  it('shows an outage within two seconds of the first call that fails', async () => {
    await using world = await createAdminWorld();
    expect((await fetch(`${world.sidecar.url}/api/x`)).status).toBe(200);
    const page = await openAt(world);
    const verdict = page.locator('.verdict');
    await expect.poll(() => verdict.textContent()).toMatch(/^Yes/);
    world.identity.answerWith(json(503, {}));
    await world.admin('/token/refresh', { method: 'POST' });
    expect((await fetch(`${world.sidecar.url}/api/x`)).status).toBe(503);
    await expect.poll(() => verdict.textContent(), { timeout: 2000, interval: 20 }).toMatch(/^No/);
  });

  it('goes on by itself when the sidecar comes back at the same address', async () => {
    const first = await createAdminWorld();
    const page = await openAt(first);
    await page.evaluate('globalThis.mark = 1');
    const admin = new URL(first.sidecar.adminUrl).host;
    await first[Symbol.asyncDispose]();
    await page.getByText('Not connected').waitFor();
    await using _second = await createAdminWorld({ admin });
    await page.getByText('Live', { exact: true }).waitFor({ timeout: 15_000 });
    expect(await page.evaluate('globalThis.mark')).toBe(1);
  });

  it('is grey and says "Not known" once nothing is heard for five seconds; when the sidecar goes on, all is as before', async () => {
    const identity = await startTokenServer();
    onTestFinished(() => identity.close());
    await using sidecar = await startSidecarProcess({ upstream: 'http://127.0.0.1:9', tokenEndpoint: identity.url });
    const page = await openAt({ sidecar }, { bypassCSP: true });
    const seen = async () => [
      await page.locator('#word').textContent(),
      await page.title(),
      await page.locator('#heard').isVisible(),
      await page.locator('.verdict p:not(#heard)').first().isVisible(),
    ];
    const good = await colour(page);
    expect(await seen()).toEqual(['Yes', 'aritma-sidecar: Yes', false, true]);
    // Longer than between two heartbeats: nothing changes, and it stays live.
    await page.waitForTimeout(6500);
    expect(await seen()).toEqual(['Yes', 'aritma-sidecar: Yes', false, true]);
    process.kill(sidecar.pid, 'SIGSTOP');
    await expect.poll(seen, { timeout: 10_000 }).toEqual(['Not known', 'aritma-sidecar: not known', true, false]);
    expect(await page.locator('#heard').textContent()).toMatch(/^No update since \d\d:\d\d:\d\d .*“Yes”/);
    expect(await colour(page)).not.toBe(good);
    expect(await violations(page)).toEqual([]);
    process.kill(sidecar.pid, 'SIGCONT');
    await expect.poll(seen, { timeout: 15_000 }).toEqual(['Yes', 'aritma-sidecar: Yes', false, true]);
    expect(await colour(page)).toBe(good);
  });

  it.each([
    ['light', 1280],
    ['dark', 1280],
    ['light', 400],
  ] as const)('has its picture taken: %s, %d px wide', async (colorScheme, width) => {
    await using world = await createAdminWorld({ adminActions: true });
    for (let call = 0; call < 40; call += 1) await fetch(`${world.sidecar.url}/api/x`);
    await fetch(`${world.sidecar.url}/nowhere`);
    const page = await openAt(world, { colorScheme, viewport: { width, height: 900 } });
    await page.locator('#errors').getByText('ROUTE_NOT_FOUND').first().waitFor();
    mkdirSync(PICTURES, { recursive: true });
    const picture = await page.screenshot({
      path: join(PICTURES, `status-${colorScheme}-${width}.png`),
      fullPage: true,
    });
    expect(picture.length).toBeGreaterThan(10_000);
  });
});
