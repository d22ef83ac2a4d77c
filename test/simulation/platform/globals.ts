/** Replaces the globals that read clocks, set timers or draw random numbers. */
import { isSimulated, platform, self } from './platform.ts';
import { countImmediates, orderWebCrypto } from './real-work.ts';
import { clearTimer, startTimer } from './timers.ts';

const RealDate = globalThis.Date;

/** The clock of the real machine, to measure the simulation itself. */
export function realMs(): number {
  return RealDate.now();
}

/** @returns epoch ms by the clock of the machine whose code runs */
export function wallMs(): number {
  return isSimulated() ? self().machine.wallMs(platform().time.nowMs) : RealDate.now();
}

/** @returns ms by the monotonic clock of that machine */
export function monotonicMs(): number {
  if (!isSimulated()) return 0;
  const { time } = platform();
  return self().machine.monotonicMs(time.nowMs, time.startedAt);
}

/** Fills with random bytes of the seed. */
export function fillRandom<Bytes extends ArrayBufferView>(view: Bytes): Bytes {
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  for (let index = 0; index < bytes.length; index += 1) bytes[index] = randomBelow(256);
  return view;
}

export function randomBelow(limit: number): number {
  return Math.floor(Math.random() * limit);
}

/** A version 4 UUID of the seed. */
export function randomUuid(): `${string}-${string}-${string}-${string}-${string}` {
  const hex = Buffer.from(fillRandom(new Uint8Array(16))).toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20)}`;
}

/** Call once, before modules that keep a reference to what is replaced. */
export function replaceGlobals(): void {
  countImmediates();
  orderWebCrypto();
  replaceClocks();
  replaceProcess();
  const realRandom = Math.random;
  Math.random = () => (isSimulated() ? platform().random.next() : realRandom());
  Object.defineProperty(globalThis.crypto, 'getRandomValues', { value: fillRandom, configurable: true });
  Object.defineProperty(globalThis.crypto, 'randomUUID', { value: randomUuid, configurable: true });
  const starter =
    (repeats: boolean) =>
    (run: (...args: unknown[]) => void, ms?: number, ...args: unknown[]) =>
      startTimer(() => run(...args), ms, repeats);
  const timers = { setTimeout: starter(false), setInterval: starter(true) };
  Object.assign(globalThis, timers, { clearTimeout: clearTimer, clearInterval: clearTimer });
  AbortSignal.timeout = (ms) => {
    const abort = new AbortController();
    startTimer(
      () => abort.abort(new DOMException('The operation was aborted due to timeout', 'TimeoutError')),
      ms,
      false,
    );
    return abort.signal;
  };
}

/** The number of the process, and whether another one lives. */
function replaceProcess(): void {
  const { pid, kill } = process;
  Object.defineProperty(process, 'pid', { get: () => (isSimulated() ? self().pid : pid), configurable: true });
  process.kill = (other, signal) => {
    if (!isSimulated()) return kill.call(process, other, signal);
    if (self().machine.processes.get(other)?.isAlive) return true;
    throw Object.assign(new Error('kill ESRCH'), { code: 'ESRCH', errno: -3, syscall: 'kill' });
  };
}

function replaceClocks(): void {
  class SimulatedDate extends RealDate {
    constructor(...args: [] | [number]) {
      if (args.length === 0) super(wallMs());
      else super(...args);
    }

    static override now(): number {
      return wallMs();
    }
  }
  globalThis.Date = SimulatedDate as DateConstructor;
  Object.defineProperty(performance, 'now', { value: monotonicMs, configurable: true });
  const hrtime = ([seconds, nanoseconds]: readonly [number, number] = [0, 0]): [number, number] => {
    const sinceMs = monotonicMs() - seconds * 1000 - nanoseconds / 1e6;
    return [Math.floor(sinceMs / 1000), Math.floor((sinceMs % 1000) * 1e6)];
  };
  process.hrtime = Object.assign(hrtime, { bigint: () => BigInt(Math.floor(monotonicMs() * 1e6)) });
  process.uptime = () => monotonicMs() / 1000;
}
