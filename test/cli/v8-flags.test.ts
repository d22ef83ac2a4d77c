// Flags of V8 that `serve` sets while it runs: which, and when. Their effect shows only after minutes of pause or load.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createFolder } from '../support/folder.ts';
import { startSidecarProcess } from '../support/sidecar-process.ts';
import { startTokenServer, type TokenServer } from '../support/token-server.ts';
import { until } from '../support/until.ts';

describe('the flags of V8 that serve sets', () => {
  let tokens: TokenServer;
  const folder = createFolder();
  beforeAll(async () => {
    tokens = await startTokenServer();
  });
  afterAll(async () => {
    await tokens.close();
    folder[Symbol.dispose]();
  });

  it('keep the code of functions that are not called, but only once it listens: Node compiles them under the same flags before', async () => {
    const seen = folder.write('flags', '');
    // Records each flag together with whether the program listens already.
    const before = `
      import v8 from 'node:v8';
      import net from 'node:net';
      import { appendFileSync } from 'node:fs';
      import { syncBuiltinESMExports } from 'node:module';
      const { setFlagsFromString } = v8;
      let listens = false;
      const { listen } = net.Server.prototype;
      net.Server.prototype.listen = function (...args) {
        this.once('listening', () => { listens = true; });
        return listen.apply(this, args);
      };
      v8.setFlagsFromString = (flag) => {
        appendFileSync(${JSON.stringify(seen)}, flag + ' ' + (listens ? 'later' : 'before') + '\\n');
        setFlagsFromString(flag);
      };
      syncBuiltinESMExports();`;
    const places = { upstream: 'http://127.0.0.1:9', tokenEndpoint: tokens.url };
    await using sidecar = await startSidecarProcess({ ...places, before });
    const flags = () => readFileSync(seen, 'utf8').trim().split('\n');
    await until('it is set', () => flags().some((line) => line.startsWith('--no-flush-bytecode')));
    expect(flags()).toContain('--no-flush-bytecode later');
    expect(sidecar.isAlive()).toBe(true);
  });
});
