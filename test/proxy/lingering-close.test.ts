// What a connection keeps of the requests that have gone through it.
import { once } from 'node:events';
import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { lingerForBody } from '../../src/proxy/lingering-close.ts';

function receiveWhole(socket: Socket): Promise<unknown> {
  const req = new IncomingMessage(socket);
  lingerForBody(req);
  req.complete = true;
  req.push(null);
  return once(req.resume(), 'close');
}

describe('src/proxy/lingering-close.ts', () => {
  it('adds to a connection once, however many requests go through it', async () => {
    const socket = new Socket();
    await receiveWhole(socket);
    const { destroySoon } = socket;
    for (let round = 0; round < 3; round += 1) await receiveWhole(socket);
    expect(socket.destroySoon).toBe(destroySoon);
  });

  it('ends a connection after any number of requests on it', async () => {
    const socket = new Socket();
    for (let round = 0; round < 20_000; round += 1)
      lingerForBody(Object.assign(new IncomingMessage(socket), { complete: true }));
    socket.destroySoon();
    await once(socket, 'close');
  });
});
