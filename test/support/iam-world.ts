/** Aritma IAM on raw sockets that behaves as a test says, and the tested client, connected to it. */
import { Pool } from 'undici';
import { SidecarError } from '../../src/core/errors.ts';
import { Secret } from '../../src/core/secret.ts';
import { createIamApi, type IamApi } from '../../src/iam/api.ts';
import type { OnPage } from '../../src/iam/pagination.ts';
import type { IamConnection } from '../../src/iam/request.ts';
import { body, type Fault, type FaultServer, startFaultServer, status } from './fault-server.ts';

export interface IamWorld extends AsyncDisposable {
  readonly server: FaultServer;
  readonly connection: IamConnection;
  readonly api: IamApi;
  /** `METHOD target` of every request so far. */
  asked(): string[];
  /** The token of each request. */
  tokens(): string[];
}

export interface IamWorldOptions {
  /** Granted one after the other, a new one for each refused token; the last one is repeated. */
  readonly tokens?: readonly string[];
  readonly deadlineMs?: number;
  readonly onPage?: OnPage;
}

/** A token that masking can find: nothing else looks like it. */
export const TOKEN = 'opaque-token-KQ7xW2';

export async function startIam(fault: Fault, options: IamWorldOptions = {}): Promise<IamWorld> {
  const { tokens = [TOKEN], deadlineMs = 5000, onPage } = options;
  const server = await startFaultServer(fault);
  const { origin } = new URL(server.url);
  const dispatcher = new Pool(origin, { connections: 2, allowH2: false, pipelining: 1 });
  let at = 0;
  const connection: IamConnection = {
    dispatcher,
    basePath: '/core/iam',
    deadlineMs,
    async authorize(refused) {
      if (refused && at < tokens.length - 1) at += 1;
      return new Secret(`Bearer ${tokens[at]}`);
    },
  };
  return {
    server,
    connection,
    api: createIamApi(connection, onPage),
    asked: () => server.requests.map(({ startLine }) => startLine.replace(/ HTTP.*$/, '')),
    tokens: () =>
      server.requests.map(({ fields }) => fields.find(([name]) => /^authorization$/i.test(name))?.[1] ?? ''),
    async [Symbol.asyncDispose]() {
      await dispatcher.destroy();
      await server.close();
    },
  };
}

/** One response after the other; the last one is repeated. */
export function inTurn(...faults: readonly Fault[]): Fault {
  return (socket, count) => faults[Math.min(count, faults.length) - 1]?.(socket, count);
}

/** RFC 9457 details of a problem. */
export function problem(code: number, fields: Readonly<Record<string, unknown>>): Fault {
  return status(code, JSON.stringify(fields), { 'Content-Type': 'application/problem+json' });
}

/** Items that fit into a page of clients: names `NAME-1` … */
export function clientsPage(from: number, to: number, total: number, page: number): Fault {
  const items = Array.from({ length: to - from + 1 }, (_, index) => ({ clientId: `c-${from + index}`, name: 'n' }));
  return body({ items, metadata: { page, pageSize: 100, totalCount: total }, links: {} });
}

/** The error that a promise rejects with; fails when it resolves, or rejects with an unexpected one. */
export async function failure(work: Promise<unknown>): Promise<SidecarError> {
  const outcome = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (outcome instanceof SidecarError) return outcome;
  throw new Error(`not an expected failure: ${String(outcome)}`);
}

/** Reads a stream to its end. */
export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
