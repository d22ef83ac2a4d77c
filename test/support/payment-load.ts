/** Parallel callers that pay, read accounts and sometimes leave, and record the responses they got. */
import { Agent, type ClientRequest, type IncomingMessage, request } from 'node:http';
import { chance } from './seeded.ts';

export interface Outcome {
  readonly index: number;
  /** Id of a payment. */
  readonly id: string | undefined;
  /** `broken`: the connection ended before the response was complete; `left`: the caller closed it. */
  readonly ending: 'answered' | 'broken' | 'left' | 'hung';
  /** Set as soon as there is one, even when the response was incomplete. */
  readonly status: number | undefined;
  /** `X-Sidecar-Error`. */
  readonly code: string | undefined;
  readonly mayHaveExecuted: boolean | undefined;
  readonly ms: number;
}

export interface LoadOptions {
  readonly port: number;
  readonly seed: number;
  readonly callers: number;
  /** Called before each request. */
  readonly goesOn: (index: number) => boolean;
  /** Time limit of a request. */
  readonly deadlineMs: number;
  readonly onOutcome: (outcome: Outcome) => void;
}

interface Order {
  readonly index: number;
  readonly id: string | undefined;
  readonly path: string;
  readonly body: Buffer;
  readonly chunked: boolean;
  /** After this time the caller leaves. */
  readonly leavesAfterMs: number | undefined;
}

const SIZES = [200, 200, 3000, 30_000] as const;

/** Resolves when every request has ended and no connection is left. */
export async function runLoad(options: LoadOptions): Promise<void> {
  const agent = new Agent({ keepAlive: true });
  let next = 0;
  const call = async (): Promise<void> => {
    for (let index = next; options.goesOn(index); index = next) {
      next += 1;
      options.onOutcome(await place(orderOf(options.seed, index), options, agent));
    }
  };
  await Promise.all(Array.from({ length: options.callers }, call));
  agent.destroy();
}

function orderOf(seed: number, index: number): Order {
  const luck = chance(seed, `order ${index}`);
  const size = luck.pick(SIZES);
  const chunked = luck.happens(0.3);
  const leavesAfterMs = luck.happens(0.05) ? luck.between(0, 40) : undefined;
  if (luck.happens(0.4)) {
    return { index, id: undefined, path: `/accounts/${size}`, body: Buffer.alloc(0), chunked: false, leavesAfterMs };
  }
  const id = `payment-${seed}-${index}`;
  const frame = JSON.stringify({ id, size, padding: '' });
  const body = Buffer.from(frame.replace('""', `"${'p'.repeat(size - frame.length)}"`));
  return { index, id, path: '/payments', body, chunked, leavesAfterMs };
}

function place(order: Order, { port, deadlineMs }: LoadOptions, agent: Agent): Promise<Outcome> {
  const { index, id, path, body, chunked } = order;
  const startedAt = Date.now();
  const { promise, resolve } = Promise.withResolvers<Outcome>();
  let answer: IncomingMessage | undefined;
  let text = '';
  const end = (ending: Outcome['ending']) => {
    clearTimeout(deadline);
    clearTimeout(patience);
    resolve({ index, id, ending, ...toldBy(answer, ending === 'answered' ? text : ''), ms: Date.now() - startedAt });
    if (ending !== 'answered') req.destroy();
  };
  const headers = { ...(id !== undefined && { 'x-payment': id, 'content-type': 'application/json' }) };
  const framing = id === undefined || chunked ? {} : { 'content-length': body.length };
  const method = id === undefined ? 'GET' : 'POST';
  const options = { host: '127.0.0.1', port, path: `/api${path}`, method, agent, headers: { ...headers, ...framing } };
  const req: ClientRequest = request(options, (res) => {
    answer = res;
    res.setEncoding('latin1').on('data', (piece: string) => {
      text += piece;
    });
    res.on('end', () => end('answered')).on('error', () => end('broken'));
  });
  req.on('error', () => end('broken')).on('close', () => end(answer?.complete ? 'answered' : 'broken'));
  const deadline = setTimeout(end, deadlineMs, 'hung');
  const patience = order.leavesAfterMs === undefined ? undefined : setTimeout(end, order.leavesAfterMs, 'left');
  if (id === undefined) req.end();
  else send(req, body, chunked);
  return promise;
}

/** In two pieces for chunked framing: in one piece Node would add a length. */
function send(req: ClientRequest, body: Buffer, chunked: boolean): void {
  if (chunked) req.write(body.subarray(0, body.length / 2));
  req.end(chunked ? body.subarray(body.length / 2) : body);
}

function toldBy(
  answer: IncomingMessage | undefined,
  text: string,
): Pick<Outcome, 'status' | 'code' | 'mayHaveExecuted'> {
  const code = answer?.headers['x-sidecar-error'];
  const problem = code === undefined || text === '' ? {} : (JSON.parse(text) as { mayHaveExecuted?: boolean });
  return { status: answer?.statusCode, code: code?.toString(), mayHaveExecuted: problem.mayHaveExecuted };
}
