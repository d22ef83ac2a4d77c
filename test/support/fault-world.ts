/** The sidecar, or the naive control, between a misbehaving identity server and an API that checks every token. */
import assert from 'node:assert/strict';
import { Agent, request } from 'node:http';
import { vi } from 'vitest';
import { createFakeClock, type FakeClock } from './clock.ts';
import { createDeadline } from './deadline.ts';
import { body, type Fault, type FaultServer, startFaultServer } from './fault-server.ts';
import { valuesOf } from './messages.ts';
import { startNaiveTokenClient } from './naive-token-client.ts';
import { PATIENCE_MS, untilQuiet } from './own-time.ts';
import { ok } from './raw.ts';
import { startTestSidecar, TEST_CLIENT_ID, TEST_SECRET, type TestSidecar } from './sidecar.ts';
import { type ScriptedUpstream, startUpstream } from './upstream.ts';

export type SubjectName = 'sidecar' | 'naive';

type Config = Readonly<Record<string, unknown>>;

export interface Seen {
  /** 0 when there was no response in time. */
  readonly status: number;
  readonly code: string | undefined;
  /** Seconds; NaN when absent. */
  readonly retryAfterS: number;
  readonly body: string;
}

export interface FaultWorldOptions {
  readonly subject: SubjectName;
  /** Default: a clock that starts at the machine's time. */
  readonly clock?: FakeClock;
  /** How long a caller waits for its response; only a control that never responds reaches this limit. */
  readonly patienceMs?: number;
  /** How long a caller waits for a token, by the test's clock; default: shorter than any back-off. */
  readonly waitMs?: number;
  /** Further options; gets the API's address. */
  readonly config?: Config | ((upstream: string) => Config);
  /** From the first request on; default: it grants tokens. */
  readonly fault?: Fault;
  /** Lifetime of tokens granted by default: an hour. */
  readonly lifetimeS?: number;
  /** Further or other members of the default response. */
  readonly fields?: Readonly<Record<string, unknown>>;
  readonly secure?: boolean;
  /** Nothing listens at the token endpoint at the start. */
  readonly refused?: boolean;
  /** Used instead of the identity server's address. */
  readonly tokenEndpoint?: string;
  /** The API's response to a valid token; default 200. */
  readonly answer?: (token: string, index: number) => string;
}

export interface FaultWorld extends AsyncDisposable {
  readonly clock: FakeClock;
  readonly identity: FaultServer;
  readonly upstream: ScriptedUpstream;
  readonly port: number;
  readonly sidecar: TestSidecar | undefined;
  /** Grants `tok-1`, `tok-2`, …; each is valid from now on for its lifetime. */
  grant(lifetimeS?: number, fields?: Readonly<Record<string, unknown>>): Fault;
  /** Ends the time limit of the running token requests; without this call it never ends. */
  passDeadline(): void;
  ask(options?: AskOptions): Promise<Seen>;
  askMany(count: number, options?: AskOptions): Promise<Seen[]>;
  /** Resolves when that many token requests have ended; at once for the control, which has no background refresh. */
  settled(what: 'failed' | 'obtained', count: number): Promise<void>;
  /** Resolves when that many requests run in the sidecar; at once for the control, which does not report it. */
  inFlight(count: number): Promise<void>;
  /** What reached the API and should not. */
  misuse(): string[];
  /** Whether the log contains the client secret, a token, or anything marked as canary in a response. */
  leaks(): boolean;
}

export interface AskOptions {
  readonly method?: string;
  readonly body?: string;
  readonly path?: string;
  /** The caller closes its connection. */
  readonly signal?: AbortSignal;
}

/**
 * A caller of the sidecar may have to wait for the clock, which moves only when nothing else can: never while a token is on
 * its way. The control never waits for the clock; and as it counts a token's life from the end of its request, without a
 * margin, it would be blamed for every moment that passes while a slow machine lets it wait.
 */
export async function whileTimePasses<T>(world: FaultWorld, asked: Promise<T>): Promise<T> {
  if (!world.sidecar) return asked;
  for (;;) {
    const seen = await Promise.race([asked, untilQuiet()]);
    if (seen) return seen;
    await world.clock.advance(200);
  }
}

export async function openFaultWorld(options: FaultWorldOptions): Promise<FaultWorld> {
  const { clock = createFakeClock(Date.now()) } = options;
  const deadline = createDeadline();
  const { patienceMs = PATIENCE_MS } = options;
  const issued = new Map<string, { wallMs: number; monotonicMs: number; lifetimeMs: number }>();
  const misused: string[] = [];
  const upstream = await startUpstream((message, index) => {
    const authorizations = valuesOf(message, 'authorization');
    const token = authorizations.join().replace(/^Bearer /, '');
    const grant = issued.get(token);
    const now = clock.now();
    const ageMs = grant && Math.max(now.wallMs - grant.wallMs, now.monotonicMs - grant.monotonicMs);
    if (!grant || !authorizations[0]?.startsWith('Bearer ')) misused.push(`not a token: ${authorizations.join()}`);
    else if (Number(ageMs) > grant.lifetimeMs) misused.push('an expired token');
    return options.answer?.(token, index) ?? ok('fine');
  });
  let granted = 0;
  const grant: FaultWorld['grant'] = (lifetimeS = 3600, fields = {}) => {
    return (socket, count) => {
      granted += 1;
      const token = String(fields['access_token'] ?? `tok-${granted}`);
      issued.set(token, { ...clock.now(), lifetimeMs: lifetimeS * 1000 });
      body({ access_token: token, expires_in: lifetimeS, token_type: 'Bearer', ...fields })(socket, count);
    };
  };
  const identity = await startFaultServer(options.fault ?? grant(options.lifetimeS, options.fields), {
    ...options,
    onSilence: deadline.pass,
  });
  if (options.refused) await identity.refuse();
  const endpoint = options.tokenEndpoint ?? identity.url;
  const { port, sidecar, log, stop } = await startSubject(options, {
    ...{ clock, endpoint, upstream: upstream.url, attemptMs: deadline.ms },
  });
  const ask: FaultWorld['ask'] = (asking = {}) => askOnce(port, asking, patienceMs);
  return {
    clock,
    identity,
    upstream,
    port,
    sidecar,
    grant,
    passDeadline: deadline.pass,
    ask,
    askMany: (count, asking) => Promise.all(Array.from({ length: count }, () => ask(asking))),
    async settled(what, count) {
      if (!sidecar) return;
      const matches = ({ message, retryInS }: Record<string, unknown>) =>
        what === 'obtained' ? message === 'token obtained' : retryInS !== undefined;
      await vi.waitFor(
        () => {
          const now = sidecar.logs.filter(matches).length;
          if (now < count) throw new Error(`${now} of ${count} ${what}`);
        },
        { timeout: PATIENCE_MS, interval: 2 },
      );
    },
    async inFlight(count) {
      if (!sidecar) return;
      const gauge = new RegExp(`^aritma_sidecar_requests_in_flight ${count}$`, 'm');
      const text = async () => (await fetch(`${sidecar.adminUrl}/metrics`)).text();
      // A thousand callers and this check share one process: frequent checks would delay the callers.
      const limits = count > 100 ? { timeout: 3 * PATIENCE_MS, interval: 250 } : { timeout: PATIENCE_MS, interval: 10 };
      await vi.waitFor(async () => assert.match(await text(), gauge), limits);
    },
    misuse: () => misused,
    leaks: () => [TEST_SECRET, 'canary', 'tok-', ...issued.keys()].some((secret) => log().includes(secret)),
    async [Symbol.asyncDispose]() {
      await identity.close();
      await stop();
      await upstream[Symbol.asyncDispose]();
      deadline[Symbol.dispose]();
    },
  };
}

interface Surroundings {
  readonly clock: FakeClock;
  readonly endpoint: string;
  readonly upstream: string;
  readonly attemptMs: number;
}

async function startSubject(options: FaultWorldOptions, { clock, endpoint, upstream, attemptMs }: Surroundings) {
  if (options.subject === 'naive') {
    const lines: string[] = [];
    const naive = await startNaiveTokenClient({
      upstream,
      tokenEndpoint: endpoint,
      clientId: TEST_CLIENT_ID,
      secret: TEST_SECRET,
      now: () => clock.now().wallMs,
      log: (line) => lines.push(line),
    });
    return { port: naive.port, sidecar: undefined, log: () => lines.join('\n'), stop: naive.close };
  }
  const config = typeof options.config === 'function' ? options.config(upstream) : options.config;
  const sidecar = await startTestSidecar({
    upstream,
    tokenEndpoint: endpoint,
    clock,
    // The clock of these tests stands still, so a caller that waits for the next try would wait forever.
    config: { ...config, token: { attemptTimeout: `${attemptMs}ms`, waitTimeout: `${options.waitMs ?? 500}ms` } },
  });
  return { port: sidecar.port, sidecar, log: () => sidecar.rawLogs.join(''), stop: sidecar.stop };
}

/** One request on a new connection. */
function askOnce(port: number, asking: AskOptions, patienceMs: number): Promise<Seen> {
  const { method = 'GET', body: sent, path = '/api/accounts', signal = AbortSignal.timeout(patienceMs) } = asking;
  return new Promise((resolve) => {
    const nothing = { status: 0, code: undefined, retryAfterS: Number.NaN, body: '' };
    const agent = new Agent({ keepAlive: false });
    const req = request({ port, host: '127.0.0.1', path, method, agent, signal }, (res) => {
      const chunks: Buffer[] = [];
      res.on('error', () => resolve(nothing));
      res.on('data', (chunk: Buffer) => chunks.push(chunk));
      res.on('end', () =>
        resolve({
          status: res.statusCode ?? 0,
          code: res.headers['x-sidecar-error']?.toString(),
          retryAfterS: Number(res.headers['retry-after'] ?? Number.NaN),
          body: Buffer.concat(chunks).toString(),
        }),
      );
    });
    req.on('error', () => resolve(nothing)).end(sent);
  });
}
