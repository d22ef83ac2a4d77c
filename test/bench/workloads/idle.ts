/** What a subject costs while nobody calls it: processor time, and how often it wakes a processor. */
import { setTimeout as pause } from 'node:timers/promises';
import { setupFor, type World } from '../lanes.ts';
import { cpuSeconds, treeOf, wakeUps } from '../load/processes.ts';
import { originOf, type Subject } from '../subjects/subject.ts';

export interface IdleResult {
  readonly subject: string;
  readonly seconds: number;
  /** Of one core, in percent. */
  readonly cpuPercent: number;
  readonly wakeUpsPerMinute: number;
}

export interface IdleOptions {
  readonly subject: Subject;
  /** Before the measurement: the start has its garbage, and what a request needs goes on for a while. */
  readonly settleS: number;
  readonly seconds: number;
}

/** With a secret file, a CA file and one route. Makes one call first, so that everything is there that calls bring about. */
export async function measureIdle(world: World, { subject, settleS, seconds }: IdleOptions): Promise<IdleResult> {
  const setup = setupFor(world, { name: 'tls' });
  const route = { path: '/api', upstream: `${originOf(setup)}/api`, tls: { ca: setup.caFile } };
  const running = await subject.start({ ...setup, sidecar: { ...setup.sidecar, config: { routes: [route] } } });
  try {
    const answer = await fetch(`http://127.0.0.1:${running.port}/api/small`, { headers: { Connection: 'close' } });
    await answer.arrayBuffer();
    await pause(settleS * 1000);
    const tree = treeOf(running.pids);
    const read = () => ({ atMs: performance.now(), cpuS: cpuSeconds(tree), wakeUps: wakeUps(tree) });
    const before = read();
    await pause(seconds * 1000);
    const after = read();
    const tookS = (after.atMs - before.atMs) / 1000;
    return {
      ...{ subject: subject.name, seconds: tookS, cpuPercent: (100 * (after.cpuS - before.cpuS)) / tookS },
      wakeUpsPerMinute: (60 * (after.wakeUps - before.wakeUps)) / tookS,
    };
  } finally {
    await running.stop();
  }
}
