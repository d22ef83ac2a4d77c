/** That files are read when they are whole, and that callers do not notice it. */
import type { Invariant } from './invariants.ts';

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
    if (observation.kind === 'log' && observation.line['message'] === 'configuration reloaded')
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
