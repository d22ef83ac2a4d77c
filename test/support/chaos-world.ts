/** Payments through a bad network, and their outcome: what callers were told against what the API has executed. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { type ChaosProxy, startChaosProxy } from './chaos-proxy.ts';
import { type PaymentApi, startPaymentApi } from './payment-api.ts';
import { type Outcome, runLoad } from './payment-load.ts';
import { residentBytes } from './processes.ts';
import { type SidecarProcess, startSidecarProcess } from './sidecar-process.ts';
import { startTokenServer } from './token-server.ts';
import { until } from './until.ts';

export interface ChaosOptions {
  readonly seed: number;
  /** Called before each request. */
  readonly goesOn: (index: number) => boolean;
  /** The memory is measured first after this many requests. */
  readonly warmUp: number;
}

export interface Tally {
  readonly requests: number;
  readonly payments: number;
  readonly executed: number;
  readonly endings: Readonly<Record<string, number>>;
  /** Ids of payments that were executed more than once. */
  readonly executedTwice: readonly string[];
  /** The caller got a success, but the API did not execute it. */
  readonly lost: readonly string[];
  /** The caller was told that it cannot have been executed, but it was. */
  readonly denied: readonly string[];
  /** Requests that did not end in time. */
  readonly hung: readonly number[];
  readonly mangled: readonly string[];
  readonly unauthorized: readonly string[];
  readonly struck: Readonly<Record<string, number>>;
  readonly longestMs: number;
}

export interface SidecarTally extends Tally {
  readonly inFlight: number;
  readonly socketsBefore: number;
  readonly socketsAfter: number;
  /** Growth of the resident memory since the warm-up, bytes; undefined where the system does not report it. */
  readonly grownBytes: number | undefined;
  readonly exitCode: number | null;
  readonly stderr: string;
}

const CALLERS = 16;
const DEADLINE_MS = 8000;
const TIMEOUTS = { connect: '500ms', firstByte: '500ms', idle: '500ms' };

/** The sidecar, in its own process, in front of the bad network. */
export async function sidecarInChaos(options: ChaosOptions): Promise<SidecarTally> {
  const tokens = await startTokenServer();
  await using api = await startPaymentApi(options.seed, /^Bearer token-\d+$/);
  await using chaos = await startChaosProxy(api.port, options.seed);
  await using sidecar = await startSidecarProcess({
    upstream: `http://127.0.0.1:${chaos.port}`,
    tokenEndpoint: tokens.url,
    config: { timeouts: TIMEOUTS, limits: { replayBody: '4KiB' }, drain: { limit: '2s' } },
  });
  const socketsBefore = sidecar.sockets();
  let warm: number | undefined;
  const onOutcome = ({ index }: Outcome) => {
    if (index === options.warmUp) warm = residentBytes(sidecar.pid);
  };
  const tally = await load(sidecar.port, { ...options, api, chaos, onOutcome });
  await tokens.close();
  // What is still there at the end is judged by the reader of the tally.
  await until('no request is in flight', async () => (await inFlight(sidecar)) === 0).catch(() => undefined);
  await until('sockets are back', () => sidecar.sockets() <= socketsBefore).catch(() => undefined);
  const observed = { inFlight: await inFlight(sidecar), socketsBefore, socketsAfter: sidecar.sockets() };
  const now = residentBytes(sidecar.pid);
  const grownBytes = warm === undefined || now === undefined ? undefined : now - warm;
  const { code: exitCode, stderr } = await sidecar.stop();
  return { ...tally, ...observed, grownBytes, exitCode, stderr };
}

/** The control in the same world. */
export async function retryingProxyInChaos(options: ChaosOptions): Promise<Tally> {
  await using api = await startPaymentApi(options.seed, /^Bearer token-1$/);
  await using chaos = await startChaosProxy(api.port, options.seed);
  const script = new URL('./retrying-proxy.ts', import.meta.url).pathname;
  const child = fork(script, [`http://127.0.0.1:${chaos.port}`], {
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    execArgv: [],
  });
  try {
    const [port] = (await once(child, 'message')) as [number];
    return await load(port, { ...options, api, chaos, onOutcome: () => undefined });
  } finally {
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }
}

const inFlight = (sidecar: SidecarProcess) => sidecar.metric('aritma_sidecar_requests_in_flight');

interface Load extends ChaosOptions {
  readonly api: PaymentApi;
  readonly chaos: ChaosProxy;
  readonly onOutcome: (outcome: Outcome) => void;
}

async function load(port: number, { api, chaos, onOutcome, ...options }: Load): Promise<Tally> {
  const outcomes: Outcome[] = [];
  const note = (outcome: Outcome) => {
    outcomes.push(outcome);
    onOutcome(outcome);
  };
  await runLoad({ ...options, port, callers: CALLERS, deadlineMs: DEADLINE_MS, onOutcome: note });
  await until('the connections of the bad network are gone', () => {
    // Again and again: a caller that was cut off may be retrying, and keep that connection.
    chaos.cut();
    return chaos.open === 0;
  });
  return tallyOf(outcomes, api, chaos);
}

function tallyOf(
  outcomes: readonly Outcome[],
  { executed, mangled, unauthorized }: PaymentApi,
  { struck }: ChaosProxy,
): Tally {
  const payments = outcomes.filter(({ id }) => id !== undefined);
  const times = ({ id }: Outcome) => executed.get(id ?? '') ?? 0;
  const ids = (wrong: (outcome: Outcome) => boolean) => payments.filter(wrong).map(({ id }) => String(id));
  return {
    requests: outcomes.length,
    payments: payments.length,
    executed: executed.size,
    endings: countBy(outcomes),
    executedTwice: ids((outcome) => times(outcome) > 1),
    lost: ids((outcome) => isDone(outcome) && times(outcome) !== 1),
    denied: ids((outcome) => isDenied(outcome) && times(outcome) !== 0),
    hung: outcomes.filter(({ ending }) => ending === 'hung').map(({ index }) => index),
    mangled,
    unauthorized,
    struck,
    longestMs: outcomes.reduce((longest, { ms }) => Math.max(longest, ms), 0),
  };
}

const isDone = ({ status = 0 }: Outcome) => status >= 200 && status < 300;

/** The sidecar's own responses, except UPSTREAM_*, are sent before anything is forwarded. */
function isDenied({ code, mayHaveExecuted, ending }: Outcome): boolean {
  return ending === 'answered' && code !== undefined && mayHaveExecuted !== true;
}

function countBy(outcomes: readonly Outcome[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { ending, status, code } of outcomes) {
    const what = ending === 'answered' ? (code ?? String(status)) : ending;
    counts[what] = (counts[what] ?? 0) + 1;
  }
  return counts;
}
