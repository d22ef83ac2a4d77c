/**
 * Responses under way, tunnels among them, and the moment when there are none.
 */
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
