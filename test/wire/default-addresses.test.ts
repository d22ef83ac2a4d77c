// Where nobody has chosen an address: `localhost` gets there whatever it stands for first, and IPv6 is never a reason not to start.
import { createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { describe, expect, it, onTestFinished } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { createLog } from '../../src/core/log.ts';
import { startSidecar } from '../../src/sidecar/sidecar.ts';
import { COMPLETE_ENV, createFolder } from '../support/folder.ts';

const hasIpv6 = Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === '::1'));

/** With any free port in the place of the default one, which the tests cannot have. */
async function startByDefault(chosen: Readonly<Record<string, string>>, port = 0) {
  using folder = createFolder();
  const env = { ...COMPLETE_ENV, ARITMA_LISTEN: `127.0.0.1:${port}`, ARITMA_ADMIN: '127.0.0.1:0' };
  const loaded = loadConfig({ env, cwd: folder.path });
  const { listen: _listen, admin: _admin, ...document } = loaded.document;
  const logs: Record<string, unknown>[] = [];
  const log = createLog({ level: 'info', format: 'json', write: (line) => logs.push(JSON.parse(line)) });
  const sidecar = await startSidecar({ loaded: { ...loaded, document: { ...document, ...chosen } }, log });
  onTestFinished(() => sidecar.stop().then(() => undefined));
  return { sidecar, logs };
}

describe.skipIf(!hasIpv6)('the default addresses', () => {
  it('are also [::1] with the same ports, whose names are let in and which are logged', async () => {
    const { sidecar, logs } = await startByDefault({});
    for (const [role, path, status] of [
      ['proxy', '/unknown', 404],
      ['admin', '/livez', 200],
    ] as const) {
      const [first, second, ...others] = sidecar[role].map(({ text }) => new URL(text));
      expect([first?.hostname, second?.hostname, second?.port, others]).toEqual([
        '127.0.0.1',
        '[::1]',
        first?.port,
        [],
      ]);
      for (const host of ['127.0.0.1', '[::1]', 'localhost'])
        expect((await fetch(`http://${host}:${first?.port}${path}`)).status, host).toBe(status);
      expect(logs).toContainEqual(expect.objectContaining({ level: 'info', address: second?.origin }));
    }
  });

  it('are one each where somebody has chosen it', async () => {
    const { sidecar } = await startByDefault({ listen: '127.0.0.1:0', admin: '127.0.0.1:0' });
    expect([sidecar.proxy.length, sidecar.admin.length]).toEqual([1, 1]);
  });

  it('are 127.0.0.1 alone, with a warning that says why, where another program has [::1]', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen({ host: '::1', port: 0 }, resolve));
    onTestFinished(() => void other.close());
    const address = other.address();
    const port = typeof address === 'object' && address ? address.port : 0;
    const { sidecar, logs } = await startByDefault({}, port);
    expect(sidecar.proxy.map(({ text }) => text)).toEqual([`http://127.0.0.1:${port}`]);
    expect(logs).toContainEqual(
      expect.objectContaining({ level: 'warn', address: `[::1]:${port}`, cause: 'listener_taken' }),
    );
  });
});
