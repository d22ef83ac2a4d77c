/** The token fault matrix, played by a naive control, which must fail most of it. */
import { afterAll, describe, expect, it } from 'vitest';
import { ANSWER_ROWS } from '../faults/rows/answers.ts';
import { CALLER_ROWS } from '../faults/rows/callers.ts';
import { LIFETIME_ROWS } from '../faults/rows/lifetimes.ts';
import { RETRY_AFTER_ROWS } from '../faults/rows/retry-after.ts';
import { TRANSPORT_ROWS } from '../faults/rows/transport.ts';
import { type FaultRow, playRow } from '../support/fault-row.ts';

const ROWS = [...TRANSPORT_ROWS, ...ANSWER_ROWS, ...RETRY_AFTER_ROWS, ...LIFETIME_ROWS, ...CALLER_ROWS];
const asked = ROWS.filter(({ control }) => control === 'passes' || 'fails' in control);
let passed = 0;

async function playControl(row: FaultRow): Promise<void> {
  const { control } = row;
  const complaints = await playRow(row, 'naive');
  if (complaints.length === 0) passed += 1;
  if (control === 'passes') expect(complaints).toEqual([]);
  else if ('fails' in control) expect(complaints).toContain(control.fails);
}

for (const crowd of [undefined, true] as const) {
  const rows = asked.filter((row) => row.crowd === crowd).map((row) => [`${row.id}: ${row.name}`, row] as const);
  const group = crowd ? describe : describe.concurrent;
  group(crowd ? 'the naive control in a crowd' : 'the naive control under token faults', () => {
    it.each<readonly [string, FaultRow]>(rows)('%s', (_name, row) => playControl(row));
  });
}

it('the naive control fails at least two thirds of the rows it is asked', () => {
  expect(passed).toBeLessThanOrEqual(asked.length / 3);
});

afterAll(() => void process.stdout.write(`naive ${passed} of ${asked.length} pass\n`));
