// Many tokens of one member fail with the store at the same time: that is one failure, and the next look comes as soon.
import { expect, it } from 'vitest';
import { createStore } from '../../src/fleet/store.ts';

it('commands that fail together put the next heartbeat off as long as one does', async () => {
  const delays: number[] = [];
  let isDown = false;
  const store = createStore({
    connect: () => ({
      run: async () => {
        if (isDown) throw new Error('Connection is closed.');
        return 1;
      },
      close: () => undefined,
    }),
    timeoutMs: 250,
    clock: {
      now: () => ({ wallMs: 0, monotonicMs: 0 }),
      startTimer(delayMs) {
        delays.push(delayMs);
        return () => undefined;
      },
    },
    random: () => 0,
    beat: async (run) => void (await run('beat', [], [])),
    onNews: () => undefined,
    onSubscribed: () => undefined,
    onOperation: () => undefined,
    onChange: () => undefined,
  });
  expect(await store.run('acquire', [], [])).toBe(1);
  isDown = true;
  await Promise.all(Array.from({ length: 8 }, () => store.run('acquire', [], [])));
  expect(store.fault()?.cause).toBe('unreachable');
  expect(delays.at(-1)).toBe(1000);
  store.close();
});
