// What ends a sidecar, on systems that disagree about signals.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type LifecycleOptions, untilStopped } from '../../src/cli/signals.ts';
import { createLog } from '../../src/core/log.ts';

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGBREAK', 'SIGHUP'] as const;
const log = createLog({ level: 'silent', format: 'json', write: () => undefined });

describe('lifecycle', () => {
  // The process is the test runner's: its own listeners must neither hear of this nor be lost.
  const before = new Map<string, NodeJS.SignalsListener[]>();
  beforeEach(() => {
    for (const signal of SIGNALS) {
      before.set(signal, process.listeners(signal) as NodeJS.SignalsListener[]);
      process.removeAllListeners(signal);
    }
  });
  afterEach(() => {
    for (const signal of SIGNALS) {
      process.removeAllListeners(signal);
      for (const listener of before.get(signal) ?? []) process.on(signal, listener);
    }
  });

  const begin = (platform: NodeJS.Platform, over: Partial<LifecycleOptions> = {}) => {
    const heard: string[] = [];
    const stopped = untilStopped({
      log,
      platform,
      stop: async () => true,
      onHangup: () => heard.push('reload'),
      ...over,
    });
    return { heard, stopped };
  };

  it('takes SIGHUP for a reload', async () => {
    const { heard, stopped } = begin('linux');
    process.emit('SIGHUP');
    expect(heard).toEqual(['reload']);
    process.emit('SIGTERM');
    expect(await stopped).toBe(0);
  });

  it('on Windows takes SIGHUP for what it is there, the console being closed, and drains', async () => {
    const { heard, stopped } = begin('win32');
    process.emit('SIGHUP');
    expect([await stopped, heard]).toEqual([0, []]);
  });

  it.each(['SIGINT', 'SIGBREAK'] as const)(
    'on Windows drains at %s: Ctrl-C, as service wrappers send it',
    async (signal) => {
      const { stopped } = begin('win32');
      process.emit(signal);
      expect(await stopped).toBe(0);
    },
  );

  it('drains when asked by other means than a signal, which on Windows is the sure way', async () => {
    const { stopped } = begin('win32', { requested: Promise.resolve() });
    expect(await stopped).toBe(0);
  });

  it('says with its exit code that a second signal cut requests off', async () => {
    const { stopped } = begin('win32', { stop: () => new Promise(() => undefined) });
    process.emit('SIGINT');
    process.emit('SIGINT');
    expect(await stopped).toBe(4);
  });
});
