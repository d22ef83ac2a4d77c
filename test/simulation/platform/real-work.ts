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

/** WebCrypto works in threads: one call after the other, so that their results come in the order of the calls. */
export function orderWebCrypto(): void {
  const { subtle } = globalThis.crypto;
  let last: Promise<unknown> = Promise.resolve();
  const inOrder = (work: () => Promise<unknown>) => {
    pending += 1;
    const result = last.then(work);
    last = result
      .catch(() => undefined)
      .finally(() => {
        pending -= 1;
      });
    return result;
  };
  const ordered = new Proxy(subtle, {
    get(target, name) {
      const method: unknown = Reflect.get(target, name, target);
      if (typeof method !== 'function') return method;
      return (...args: unknown[]) => inOrder(() => Reflect.apply(method, target, args) as Promise<unknown>);
    },
  });
  Object.defineProperty(globalThis.crypto, 'subtle', { value: ordered, configurable: true });
}
