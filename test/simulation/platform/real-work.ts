/**
 * What really happens outside of the simulation's order: turns of Node's event loop that code asked for, and work in libuv's
 * threads. The next event waits for it, so its duration does not matter; nor does it for the order of the two.
 */
import { type CipherGCMTypes, createCipheriv, createDecipheriv } from 'node:crypto';

let turns = 0;
/** Work for threads that has not begun. */
const waiting: (() => Promise<void>)[] = [];
const REAL_IMMEDIATE = globalThis.setImmediate;
/** Turns asked for at once: between two of them Node runs all that is ready, and a round of its loop costs more than a turn. */
const AT_ONCE = 64;
let asked = 0;
let onTurn: (() => void) | undefined;

/** Resolves when nothing is left to run before the next event: no promise, no turn of the loop, no work of a real thread. */
export async function settled(): Promise<void> {
  for (;;) {
    do await new Promise<void>(nextTurn);
    while (turns > 0);
    const work = waiting.shift();
    if (!work) return;
    await work();
  }
}

function nextTurn(resolve: () => void): void {
  // A turn that code waits for is in the next round.
  if (turns > 0) return void REAL_IMMEDIATE(resolve);
  onTurn = resolve;
  if (asked > 0) return;
  for (; asked < AT_ONCE; asked += 1) REAL_IMMEDIATE(turn);
}

function turn(): void {
  asked -= 1;
  const resolve = onTurn;
  onTurn = undefined;
  resolve?.();
}

/** Counts the turns of the event loop that code waits for. */
export function countImmediates(): void {
  const { setImmediate: real, clearImmediate: clearReal } = globalThis;
  const open = new Set<NodeJS.Immediate>();
  const counted = (run: (...args: unknown[]) => void, ...args: unknown[]) => {
    const immediate = real(() => {
      open.delete(immediate);
      turns -= 1;
      run(...args);
    });
    open.add(immediate);
    turns += 1;
    return immediate;
  };
  globalThis.setImmediate = counted as typeof setImmediate;
  globalThis.clearImmediate = (immediate) => {
    if (immediate && open.delete(immediate)) turns -= 1;
    clearReal(immediate);
  };
}

/**
 * WebCrypto works in threads: one call after the other, each when nothing else is left to run. What runs beside it would come
 * before or after it as the threads happen to be fast. AES-GCM is done in this thread: to wake another one takes longer.
 */
export function orderWebCrypto(): void {
  const { subtle } = globalThis.crypto;
  const inOrder = (work: () => Promise<unknown>) =>
    new Promise((resolve, reject) => {
      waiting.push(() => work().then(resolve, reject));
    });
  const ordered = new Proxy(subtle, {
    get(target, name) {
      const method: unknown = Reflect.get(target, name, target);
      if (typeof method !== 'function') return method;
      const real = (args: unknown[]) => Reflect.apply(method, target, args) as Promise<unknown>;
      if (name === 'importKey') return (...args: unknown[]) => inOrder(() => real(args).then(noteBytes(args)));
      return (...args: unknown[]) => inOrder(() => inThisThread(name, args) ?? real(args));
    },
  });
  Object.defineProperty(globalThis.crypto, 'subtle', { value: ordered, configurable: true });
}

interface Gcm {
  readonly name: string;
  readonly iv: Uint8Array;
  readonly additionalData: Uint8Array;
}

const TAG_BYTES = 16;
/** Of keys that were imported as bytes: WebCrypto does not give them back. */
const bytesOfKeys = new WeakMap<object, Uint8Array>();

function noteBytes([format, bytes]: readonly unknown[]): (key: unknown) => unknown {
  return (key) => {
    if (format === 'raw') bytesOfKeys.set(key as object, bytes as Uint8Array);
    return key;
  };
}

/** Encrypts or decrypts by AES-GCM. @returns undefined for other work */
function inThisThread(name: string | symbol, args: readonly unknown[]): Promise<Uint8Array> | undefined {
  const [algorithm, cryptoKey, data] = args as readonly [Gcm, object, Uint8Array];
  if (!(name === 'encrypt' || name === 'decrypt') || algorithm.name !== 'AES-GCM') return undefined;
  const key = bytesOfKeys.get(cryptoKey);
  if (!key) return undefined;
  return new Promise((resolve) => resolve((name === 'encrypt' ? encrypt : decrypt)(key, algorithm, data)));
}

function encrypt(key: Uint8Array, { iv, additionalData }: Gcm, data: Uint8Array): Uint8Array {
  const cipher = createCipheriv(cipherFor(key), key, iv).setAAD(additionalData);
  return Buffer.concat([cipher.update(data), cipher.final(), cipher.getAuthTag()]);
}

function decrypt(key: Uint8Array, { iv, additionalData }: Gcm, data: Uint8Array): Uint8Array {
  const decipher = createDecipheriv(cipherFor(key), key, iv).setAAD(additionalData);
  decipher.setAuthTag(data.subarray(-TAG_BYTES));
  return Buffer.concat([decipher.update(data.subarray(0, -TAG_BYTES)), decipher.final()]);
}

function cipherFor({ length }: Uint8Array): CipherGCMTypes {
  return `aes-${length * 8}-gcm` as CipherGCMTypes;
}
