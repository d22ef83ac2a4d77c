/**
 * Sits between rotating programs and the emulator: names and records every request, and can kill a program between a request
 * and its effect, or between the effect and the response. Each program has its own path prefix.
 */
import { appendFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { Agent } from 'undici';
import type { Point } from './kill-matrix.ts';

export interface Passage {
  /** Gets a line for each request, like the program's log of changes. */
  readonly log: string;
  readonly point: Point | undefined;
  /** Kills the program; resolves when it has ended. */
  readonly kill: () => Promise<void>;
  /** Called when a request has taken effect. */
  readonly onEffect?: (name: string) => Promise<void>;
  /** Called before a request is forwarded. */
  readonly hold?: (name: string) => Promise<void>;
}

export interface RotationRelay {
  /** Origin and prefix, used instead of the emulator's origin. */
  readonly at: (prefix: string) => string;
  /** From now on this is the program behind the prefix. */
  open(prefix: string, passage: Passage): void;
  close(): Promise<void>;
}

interface Open extends Passage {
  readonly seen: Map<string, number>;
}

export async function startRotationRelay(emulator: string): Promise<RotationRelay> {
  const open = new Map<string, Open>();
  const dispatcher = new Agent({ connections: 64 });
  const server = createServer((request, response) => {
    relay(request, response).catch(() => response.destroy());
  });
  async function relay(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [, prefix = '', path = ''] = /^\/([^/]+)(\/.*)$/.exec(request.url ?? '') ?? [];
    const body = await buffer(request);
    const passage = open.get(prefix);
    const when = passage && (await arrive(passage, `${request.method} ${nameOf(path)}`));
    if (when?.when === 'before') return dead(passage, response);
    const { 'content-type': type, authorization, accept } = request.headers;
    const answer = await dispatcher.request({
      origin: emulator,
      method: request.method as 'GET',
      path,
      headers: {
        ...(type && { 'content-type': type }),
        ...(authorization && { authorization }),
        accept: accept ?? '*/*',
      },
      body: body.length === 0 ? null : body,
    });
    const bytes = Buffer.from(await answer.body.arrayBuffer());
    await passage?.onEffect?.(`${request.method} ${nameOf(path)}`);
    if (when?.when === 'after') return dead(passage, response);
    response.writeHead(answer.statusCode, { 'content-type': String(answer.headers['content-type'] ?? '') }).end(bytes);
  }
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    at: (prefix) => `${origin}/${prefix}`,
    open: (prefix, passage) => void open.set(prefix, { ...passage, seen: new Map() }),
    async close() {
      server.close();
      server.closeAllConnections();
      await dispatcher.destroy();
    },
  };
}

async function arrive(passage: Open, name: string): Promise<Point | undefined> {
  const nth = (passage.seen.get(name) ?? 0) + 1;
  passage.seen.set(name, nth);
  appendFileSync(passage.log, `${name} #${nth}\n`);
  await passage.hold?.(`${name} #${nth}`);
  return passage.point?.change === `${name} #${nth}` ? passage.point : undefined;
}

async function dead(passage: Open | undefined, response: ServerResponse): Promise<void> {
  await passage?.kill();
  response.destroy();
}

/** `token`, `secrets`, `secrets/*`. */
function nameOf(path: string): string {
  return path
    .replace(/\?.*$/, '')
    .replace(/^\/connect\//, '')
    .replace(/^.*\/secrets(\/.+)?$/, (_all, id: string | undefined) => (id === undefined ? 'secrets' : 'secrets/*'));
}
