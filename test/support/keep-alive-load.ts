/** Sends GETs as fast as they get responses, over a few kept connections, with little CPU time of its own. */
import { once } from 'node:events';
import { connect } from 'node:net';

export interface LoadResult {
  /** Responses by status. */
  readonly statuses: Readonly<Record<string, number>>;
  readonly seconds: number;
}

const CONNECTIONS = 16;

/** Responses must have a Content-Length. @throws Error when a connection ends before its share has responses */
export async function loadWithGets(port: number, path: string, count: number): Promise<LoadResult> {
  const startedAt = performance.now();
  const statuses: Record<string, number> = {};
  const share = (index: number) => Math.floor((count + index) / CONNECTIONS);
  const lanes = Array.from({ length: CONNECTIONS }, (_, index) => lane(port, path, share(index), statuses));
  await Promise.all(lanes);
  return { statuses, seconds: (performance.now() - startedAt) / 1000 };
}

async function lane(port: number, path: string, share: number, statuses: Record<string, number>): Promise<void> {
  const socket = connect(port, '127.0.0.1').setNoDelay().setEncoding('latin1');
  const request = `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`;
  let answered = 0;
  let held = '';
  socket.on('data', (chunk: string) => {
    held += chunk;
    const length = lengthOf(held);
    if (length === undefined || held.length < length) return;
    const status = held.slice(9, 12);
    statuses[status] = (statuses[status] ?? 0) + 1;
    held = held.slice(length);
    answered += 1;
    if (answered < share) socket.write(request);
    else socket.end();
  });
  socket.write(request);
  await once(socket, 'close');
  if (answered < share) throw new Error(`the connection ended after ${answered} of ${share} answers`);
}

/** Length of a complete response; undefined while its head is incomplete. */
function lengthOf(text: string): number | undefined {
  const end = text.indexOf('\r\n\r\n');
  if (end === -1) return undefined;
  const length = /^content-length: (\d+)\r$/im.exec(text.slice(0, end + 2))?.[1];
  if (length === undefined) throw new Error(`no Content-Length in ${text.slice(0, end)}`);
  return end + 4 + Number(length);
}
