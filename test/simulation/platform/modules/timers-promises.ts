/** `node:timers/promises` on virtual time. */
import { startTimer } from '../timers.ts';

interface Options {
  readonly signal?: AbortSignal;
  readonly ref?: boolean;
}

export function setTimeout<Value>(ms?: number, value?: Value, { signal }: Options = {}): Promise<Value | undefined> {
  return new Promise((resolve, reject) => {
    const aborted = () =>
      reject(Object.assign(new Error('The operation was aborted'), { name: 'AbortError', code: 'ABORT_ERR' }));
    if (signal?.aborted) return aborted();
    const onAbort = () => {
      timer.close();
      aborted();
    };
    const timer = startTimer(
      () => {
        signal?.removeEventListener('abort', onAbort);
        resolve(value);
      },
      ms,
      false,
    );
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

export async function* setInterval<Value>(ms?: number, value?: Value, options?: Options) {
  for (;;) {
    await setTimeout(ms, value, options);
    yield value;
  }
}

export function setImmediate<Value>(value?: Value): Promise<Value | undefined> {
  return new Promise((resolve) => globalThis.setImmediate(() => resolve(value)));
}
