/** That files are read when they are whole, and that callers do not notice it. */
import type { SimulatedProcess } from '../platform/process.ts';
import type { Invariant } from './invariants.ts';
import { isLogged } from './logged.ts';

/** A file has to stay as it is for half a second. */
const REST_MS = 500;
/** After another edit, a look that is due reads whatever is there. */
const OTHER_EDIT_MS = 12_000;

export const readsWholeFiles: Invariant = {
  sentence:
    'A file is read only when it has stayed the same for half a second. Excused: when another edit of the last 12 s is still to be read.',
  watch: (world, violated) => (observation) => {
    if (observation.kind !== 'log' || observation.line['reason'] !== 'file change') return;
    const { machine } = observation.process;
    const edits = world.operator.edits.filter((edit) => edit.machine === machine);
    const [last, before] = edits.slice(-2).reverse();
    const { nowMs } = world.platform.time;
    if (last?.how !== 'halves' || last.ms >= REST_MS || nowMs >= last.at + last.ms) return;
    if (before && before.at + before.ms > last.at - OTHER_EDIT_MS) return;
    violated(`half a file was read ${Math.round(nowMs - last.at)} ms after it was written`);
  },
};

/** The longest time in which a change stays unseen, and half a second for it to rest. */
const UNSEEN_MS = 12_000;

export const readsNewest: Invariant = {
  sentence:
    'The sidecar notices every change of its files, also one at its start: at the end it has read what they say.',
  watch: (world, violated) => (observation) => {
    if (isLogged(observation, 'reloaded'))
      world.hosts.find(({ process }) => process === observation.process)?.noteRead();
    if (observation.kind !== 'recovered') return;
    const { disk, time } = world.platform;
    for (const { process, read } of world.hosts.filter((host) => host.process))
      for (const [path, text] of read) {
        const { content, changedMs } = disk.find(path);
        if (content.toString() !== text && changedMs < time.nowMs - UNSEEN_MS)
          violated(`${process?.name} has not read ${path}`);
      }
  },
};

/** No try takes longer. */
const TRY_MS = 5000;

export const oldStillConnects: Invariant = {
  sentence:
    'Calls from before a reload finish with what they began with: none fails because no connection to an identity server that works could be made. Excused: a machine that has just slept, and a fleet, whose members wait for one another.',
  watch(world, violated) {
    // A generation may be closed during a try for which nobody waits any more.
    const failures = new Map<SimulatedProcess, number>();
    return (observation) => {
      if (world.fleet) return;
      const { nowMs } = world.platform.time;
      if (observation.kind === 'told') {
        const { id, attempt, sidecar, code, cause } = observation.told;
        const failedAt = sidecar && failures.get(sidecar);
        const called = world.calledAt(id, String(attempt));
        if (code !== 'TOKEN_UNAVAILABLE' || cause !== 'connection_failed' || failedAt === undefined) return;
        if (called && called.trueMs < failedAt) violated(`payment ${id}`);
      }
      if (observation.kind !== 'log') return;
      const { process, line } = observation;
      const isTry = line['code'] === 'TOKEN_UNAVAILABLE' && line['retryInS'] !== undefined;
      const isStopping = world.hosts.some((host) => host.process === process && host.isStopping);
      if (!isTry || line['cause'] !== 'connection_failed' || isStopping) return;
      const since = Math.max(world.identity.fault.wellSince, process.machine.asleepUntil);
      if (since + TRY_MS < nowMs) failures.set(process, nowMs);
    };
  },
};

export const reloadsUnseen: Invariant = {
  sentence:
    'A reload ends no call: SIDECAR_STOPPED is told only while the process is being stopped, SIDECAR_INTERNAL never.',
  watch: (world, violated) => (observation) => {
    if (observation.kind !== 'told') return;
    const { id, code, sidecar } = observation.told;
    if (code === 'SIDECAR_INTERNAL') violated(`payment ${id} got ${code}`);
    const stopping = world.hosts.filter(({ isStopping }) => isStopping);
    const isExpected = stopping.some(({ machine }) => !sidecar || machine === sidecar.machine);
    if (code === 'SIDECAR_STOPPED' && !isExpected) violated(`payment ${id} got ${code}`);
  },
};
