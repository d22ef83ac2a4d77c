/** Waits until a program listens on its port. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import type { Child } from '../children.ts';

const START_MS = 60_000;

/** Resolves when the port accepts connections. Fails if the program ends instead. */
export async function untilListening(child: Child, port: number): Promise<void> {
  await untilTrue(child, async () => {
    const socket = connect(port, '127.0.0.1');
    try {
      await once(socket, 'connect');
      return true;
    } catch {
      return false;
    } finally {
      socket.destroy();
    }
  });
}

/** @param everyMs interval between two checks */
export async function untilTrue(child: Child, condition: () => Promise<boolean>, everyMs = 20): Promise<void> {
  const deadline = performance.now() + START_MS;
  while (!(await condition())) {
    if (child.ended() !== undefined) throw new Error(`it ended: ${child.ended()}`);
    if (performance.now() > deadline) throw new Error(`it did not start in ${START_MS} ms`);
    await pause(everyMs);
  }
}
