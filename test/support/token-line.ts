/** The sidecar's own client for a token endpoint, and on the other side a socket that does what a test says. */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '../../src/config/load.ts';
import { systemClock } from '../../src/core/clock.ts';
import { createIdentity } from '../../src/oauth/credentials.ts';
import type { TokenResponse } from '../../src/oauth/token-response.ts';
import { createDeadline } from './deadline.ts';
import { untilQuiet } from './own-time.ts';

/** Handles an arriving token request. `count` is its number on this line, from 1. */
export type Behaviour = (socket: Socket, count: number) => unknown;

export interface Outcome {
  readonly answer: TokenResponse;
  /** Bytes that the server has sent, including those in buffers of the system. */
  readonly sentBytes: number;
}

export interface TokenLine extends AsyncDisposable {
  /** Sends token requests one after the other over one client, so that they can share connections. */
  ask(behaviour: Behaviour, times?: number): Promise<Outcome[]>;
}

const TARGET = { scope: 'api', audience: undefined, resource: undefined };

/** The time limit of a token request ends when its behaviour is complete and nothing more can happen. */
export async function openTokenLine(): Promise<TokenLine> {
  const deadline = createDeadline();
  let behaviour: Behaviour = () => undefined;
  let count = 0;
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      if (!chunk.includes('POST /')) return;
      count += 1;
      void passAfter(behaviour(socket, count), count);
    });
  });
  const passAfter = async (behaving: unknown, number: number) => {
    await behaving;
    await untilQuiet();
    if (number === count) deadline.pass();
  };
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const loaded = configure((server.address() as AddressInfo).port, deadline.ms);
  const hangUp = () => {
    for (const socket of sockets) socket.destroy();
    sockets.clear();
  };
  return {
    async ask(next, times = 1) {
      behaviour = next;
      const identity = createIdentity({ loaded, clock: systemClock, onRequest: () => undefined });
      const outcomes: Outcome[] = [];
      for (let asked = 0; asked < times; asked += 1) {
        const answer = await identity.credential('default').fetchToken(TARGET);
        const sent = [...sockets].map(({ bytesWritten, writableLength }) => bytesWritten - writableLength);
        outcomes.push({ answer, sentBytes: Math.max(0, ...sent) });
      }
      await identity.end('destroy');
      hangUp();
      return outcomes;
    },
    async [Symbol.asyncDispose]() {
      hangUp();
      server.close();
      await once(server, 'close');
      deadline[Symbol.dispose]();
    },
  };
}

function configure(port: number, deadlineMs: number) {
  const folder = mkdtempSync(join(tmpdir(), 'aritma-token-line-'));
  const [file, secret] = [join(folder, 'config.yaml'), join(folder, 'secret')];
  writeFileSync(secret, 'a-secret\n', { mode: 0o600 });
  const tokenEndpoint = `http://127.0.0.1:${port}/token`;
  const config = {
    credentials: { default: { tokenEndpoint, clientId: 'erp', secrets: [{ file: secret }], scope: 'api' } },
    routes: [{ path: '/api', upstream: 'http://127.0.0.1:9' }],
    token: { attemptTimeout: `${deadlineMs}ms` },
  };
  writeFileSync(file, JSON.stringify(config));
  const loaded = loadConfig({ file, env: {}, cwd: folder });
  rmSync(folder, { recursive: true, force: true });
  return loaded;
}
