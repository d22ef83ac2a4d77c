// What a connection keeps of the requests that have gone through it.
import { once } from 'node:events';
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { lingerForBody } from '../../src/proxy/lingering-close.ts';

function begin(socket: Socket) {
  const req = new IncomingMessage(socket);
  const res = new ServerResponse(req);
  lingerForBody(req, res);
  return { req, res };
}

async function receive({ req }: { req: IncomingMessage }): Promise<void> {
  req.complete = true;
  req.push(null);
  await once(req.resume(), 'close');
}

describe('src/proxy/lingering-close.ts', () => {
  it('adds nothing to a connection while its requests are complete when they are answered', async () => {
    const socket = new Socket();
    for (let round = 0; round < 3; round += 1) {
      const { req, res } = begin(socket);
      await receive({ req });
      res.emit('finish');
    }
    expect(Object.hasOwn(socket, 'destroySoon')).toBe(false);
  });

  it('ends a connection after any number of requests that were answered before they were complete', async () => {
    const socket = new Socket();
    for (let round = 0; round < 10_000; round += 1) {
      const { req, res } = begin(socket);
      res.emit('finish');
      await receive({ req });
    }
    socket.destroySoon();
    await once(socket, 'close');
  });
});
