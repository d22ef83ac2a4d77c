/** What the caller may conclude from what it is told. */
import type { Invariant } from './invariants.ts';

export const isExecutedOnce: Invariant = {
  sentence: 'A payment is never executed twice, though the caller sends it again when it is told that this is safe.',
  watch: (_world, violated) => (observation) => {
    if (observation.kind === 'executed' && observation.times > 1) violated(`payment ${observation.request.id}`);
  },
};

export const isToldTheTruth: Invariant = {
  sentence: 'A success is told only for what was executed once; `mayHaveExecuted: false` only for what was not.',
  watch: (world, violated) => (observation) => {
    if (observation.kind !== 'told') return;
    const { id, status = 0, code, mayHaveExecuted } = observation.told;
    const times = world.upstream.ledger.get(id) ?? 0;
    if (status >= 200 && status < 300 && times !== 1) violated(`payment ${id} got ${status}, executed ${times} times`);
    if (mayHaveExecuted === false && times > 0) violated(`payment ${id} got ${code}, executed ${times} times`);
  },
};
