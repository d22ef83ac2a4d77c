/** Reloads that wait for programs: one at a time, and whoever asks meanwhile gets the result of one that began later. */
import { describe, expect, it } from 'vitest';
import { createReloadQueue, type ReloadWish } from '../../src/sidecar/reload-queue.ts';

function createWorld() {
  const begun: { readonly wish: ReloadWish; readonly end: (result: string | Error) => void }[] = [];
  let running = 0;
  let most = 0;
  const reload = createReloadQueue<string>(async (wish) => {
    running += 1;
    most = Math.max(most, running);
    const { promise, resolve } = Promise.withResolvers<string | Error>();
    begun.push({ wish, end: resolve });
    const result = await promise;
    running -= 1;
    if (result instanceof Error) throw result;
    return result;
  });
  // Not an `async` function: it would hand on the result a moment later.
  const ask = (reason: string, force = false) => Promise.resolve(reload({ reason, force }));
  const settle = () => new Promise<void>((resolve) => setImmediate(resolve));
  return { begun, ask, settle, most: () => most };
}

describe('src/sidecar/reload-queue.ts', () => {
  it('does what was asked for meanwhile once, for all, and by force if one of them said so', async () => {
    const { begun, ask, settle } = createWorld();
    const results = [ask('a'), ask('b', true), ask('c')];
    begun[0]?.end('first');
    await settle();
    expect(begun.map(({ wish }) => wish)).toEqual([
      { reason: 'a', force: false },
      { reason: 'c', force: true },
    ]);
    begun[1]?.end('second');
    expect(await Promise.all(results)).toEqual(['first', 'second', 'second']);
  });

  it('never begins two, also for one who asks as soon as the first has ended', async () => {
    const { begun, ask, settle, most } = createWorld();
    const again = ask('a').then(() => ask('again'));
    const waiting = ask('b');
    begun[0]?.end('first');
    await settle();
    begun[1]?.end('second');
    await settle();
    for (const { end } of begun) end('third');
    expect(await waiting).toBe('second');
    expect(['second', 'third']).toContain(await again);
    expect(most()).toBe(1);
  });

  it('goes on after one that failed', async () => {
    const { begun, ask, settle } = createWorld();
    const failed = ask('a').catch((error: Error) => error.message);
    const next = ask('b');
    begun[0]?.end(new Error('broken'));
    await settle();
    begun[1]?.end('second');
    expect([await failed, await next]).toEqual(['broken', 'second']);
    const last = ask('c');
    begun[2]?.end('third');
    expect(await last).toBe('third');
  });
});
