/**
 * Pictures of the status page for the documentation: `node test/browser/screenshots.ts` writes docs/images/*.png. Wants chromium, and
 * root for the picture of a full disk, which is left as it is elsewhere. A picture's name says the scene.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { startBrowser } from '../support/browser-world.ts';
import { ok, startRawUpstream } from '../support/raw.ts';
import { type SidecarProcess, startSidecarProcess } from '../support/sidecar-process.ts';
import { grant, json, startTokenServer, type TokenServer } from '../support/token-server.ts';
import { until } from '../support/until.ts';

const FOLDER = join(import.meta.dirname, '../../docs/images');

interface World {
  readonly identity: TokenServer;
  readonly sidecar: SidecarProcess;
  call(path: string, method?: string): Promise<void>;
}

interface Scene {
  readonly config?: Readonly<Record<string, unknown>>;
  /** Of the first token, s. */
  readonly expiresIn?: number;
  /** Brings about what is to be seen. */
  readonly happen: (world: World, page: Page) => Promise<unknown>;
  /** On the page, when it has happened. */
  readonly shows: string;
}

const AUDIT = mkdtempSync(join(tmpdir(), 'aritma-screenshots-'));

const SCENES: Readonly<Record<string, Scene>> = {
  works: { happen: async () => undefined, shows: 'Yes' },
  'token-endpoint-down': {
    expiresIn: 20,
    happen: ({ identity }) => identity.close(),
    shows: 'Yes, with a warning',
  },
  'credentials-refused': {
    async happen({ identity, sidecar, call }) {
      identity.answerWith(json(401, { error: 'invalid_client' }));
      await fetch(`${sidecar.adminUrl}/token/refresh`, { method: 'POST' });
      await call('/banking/accounts');
    },
    shows: 'No',
  },
  'api-hangs': {
    config: { timeouts: { firstByte: '1s' } },
    happen: ({ call }) => Promise.all([1, 2, 3].map(() => call('/banking/hangs', 'POST'))),
    shows: 'Partly',
  },
  'audit-disk-full': {
    config: { audit: { file: join(AUDIT, 'audit.log'), whenFailing: 'refuse' } },
    async happen({ call }) {
      spawnSync('dd', ['if=/dev/zero', `of=${join(AUDIT, 'other')}`, 'bs=1k', 'count=64']); // Ends when the disk is full.
      for (let count = 0; count < 20; count += 1) await call('/banking/payments', 'POST');
    },
    shows: 'No',
  },
  killed: {
    happen: async ({ sidecar }) => process.kill(sidecar.pid, 'SIGKILL'),
    shows: 'Not known',
  },
};

const LOOKS = {
  '': { viewport: { width: 1280, height: 720 } },
  '-dark': { viewport: { width: 1280, height: 720 }, colorScheme: 'dark' },
  '-phone': { viewport: { width: 360, height: 1400 } },
} as const;

async function startWorld({ config, expiresIn = 3600 }: Scene): Promise<World & AsyncDisposable> {
  const identity = await startTokenServer();
  identity.answerWith(grant('a-token', { expires_in: expiresIn }));
  const api = await startRawUpstream((socket, received) => {
    const hangs = received.split('\r\n\r\n').at(-2)?.includes('/hangs HTTP');
    if (received.endsWith('\r\n\r\n') && !hangs) socket.write(ok('{}'));
  });
  const route = (path: string) => ({ path, upstream: api.url });
  const sidecar = await startSidecarProcess({
    upstream: api.url,
    tokenEndpoint: identity.url,
    config: { routes: [route('/banking'), route('/events')], ...config },
  });
  const call = async (path: string, method = 'GET') => {
    const headers = method === 'GET' ? {} : { 'Idempotency-Key': `payment-${Math.floor(Math.random() * 10_000)}` };
    await fetch(`http://127.0.0.1:${sidecar.port}${path}`, { method, headers }).then((response) => response.text());
  };
  return {
    identity,
    sidecar,
    call,
    async [Symbol.asyncDispose]() {
      await sidecar[Symbol.asyncDispose]();
      await Promise.all([api.close(), identity.close()]);
    },
  };
}

async function take(browser: Browser, name: string, look: keyof typeof LOOKS, scene: Scene): Promise<void> {
  await using world = await startWorld(scene);
  for (let count = 0; count < 30; count += 1) await world.call(count % 3 === 0 ? '/events/next' : '/banking/accounts');
  const context = await browser.newContext({ ...LOOKS[look], timezoneId: 'Europe/Oslo' });
  const page = await context.newPage();
  await page.goto(world.sidecar.adminUrl);
  await page.getByText('Live', { exact: true }).waitFor();
  await scene.happen(world, page);
  await until(`the page says ${scene.shows}`, async () => (await page.locator('#word').textContent()) === scene.shows);
  const path = join(FOLDER, `status-${name}${look}.png`);
  const { length } = await page.screenshot({ path });
  process.stdout.write(`${path} ${length} bytes\n`);
  await context.close();
}

mkdirSync(FOLDER, { recursive: true });
const wanted = process.argv[2];
const canMount = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k,mode=700', 'screenshots', AUDIT]).status === 0;
const browser = await startBrowser();
try {
  for (const [name, scene] of Object.entries(SCENES)) {
    if (wanted !== undefined && wanted !== name) continue;
    if (name === 'audit-disk-full' && !canMount) continue;
    const looks = name === 'works' ? (['', '-dark', '-phone'] as const) : ([''] as const);
    for (const look of looks) await take(browser, name, look, scene);
  }
} finally {
  await browser.close();
  if (canMount) spawnSync('umount', [AUDIT]);
  rmdirSync(AUDIT);
}
