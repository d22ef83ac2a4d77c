/**
 * Requests under way: what each is called, and the moment when there are none.
 */
import { randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';

export function trackRunning() {
  const all = new Set<ServerResponse>();
  let onNone: (() => void) | undefined;
  return {
    all: all as ReadonlySet<ServerResponse>,
    add: (res: ServerResponse) => void all.add(res),
    remove(res: ServerResponse) {
      all.delete(res);
      if (all.size === 0) onNone?.();
    },
    none: () =>
      new Promise<void>((resolve) => {
        onNone = resolve;
        if (all.size === 0) resolve();
      }),
  };
}

/** For requests that bring no id of their own: unique over restarts. */
export function requestIds(): () => string {
  const boot = randomBytes(6).toString('hex');
  let count = 0;
  return () => {
    count += 1;
    return `${boot}-${count.toString(36)}`;
  };
}
