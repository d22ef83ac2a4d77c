/**
 * What really happens outside of the simulation's order: turns of Node's event loop that code asked for, and work in libuv's
 * threads. The next event waits for it, so its duration does not matter; nor does it for the order of the two.
 */
let turns = 0;
/** Work for threads that has not begun. */
const waiting: (() => Promise<void>)[] = [];
const REAL_IMMEDIATE = globalThis.setImmediate;

/** Resolves when nothing is left to run before the next event: no promise, no turn of the loop, no work of a real thread. */
export async function settled(): Promise<void> {
  for (let next: (() => Promise<void>) | undefined = nothing; next; next = waiting.shift()) {
    await next();
    do await new Promise<void>((resolve) => REAL_IMMEDIATE(resolve));
    while (turns > 0);
  }
}

async function nothing(): Promise<void> {
  return undefined;
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
 * before or after it as the threads happen to be fast.
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
      return (...args: unknown[]) => inOrder(() => Reflect.apply(method, target, args) as Promise<unknown>);
    },
  });
  Object.defineProperty(globalThis.crypto, 'subtle', { value: ordered, configurable: true });
}
