/**
 * Counts what really happens outside of the simulation's order: turns of Node's event loop that code asked for, and work in
 * libuv's threads. The next event waits for it, so its duration does not matter.
 */
let pending = 0;

export function pendingWork(): number {
  return pending;
}

/** Counts the turns of the event loop that code waits for. */
export function countImmediates(): void {
  const { setImmediate: real, clearImmediate: clearReal } = globalThis;
  const open = new Set<NodeJS.Immediate>();
  const counted = (run: (...args: unknown[]) => void, ...args: unknown[]) => {
    const immediate = real(() => {
      open.delete(immediate);
      pending -= 1;
      run(...args);
    });
    open.add(immediate);
    pending += 1;
    return immediate;
  };
  globalThis.setImmediate = counted as typeof setImmediate;
  globalThis.clearImmediate = (immediate) => {
    if (immediate && open.delete(immediate)) pending -= 1;
    clearReal(immediate);
  };
}

/**
 * WebCrypto works in threads: a call begins when nothing else is left to run, one after the other, so that nothing depends on how
 * long it takes.
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
      return (...args: unknown[]) => inOrder(async () => Reflect.apply(method, target, args));
    },
  });
  Object.defineProperty(globalThis.crypto, 'subtle', { value: ordered, configurable: true });
}

const waiting: (() => Promise<void>)[] = [];

/** Does the work that was asked for first. Call it when nothing else is left to run. @returns whether there was any */
export async function doNextWork(): Promise<boolean> {
  const next = waiting.shift();
  await next?.();
  return next !== undefined;
}
