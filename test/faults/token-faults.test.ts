/** The token fault matrix, played by the sidecar, which has to pass every row; the control that must not is with the long tests. */
import { describe, expect, it } from 'vitest';
import { type FaultRow, playRow } from '../support/fault-row.ts';
import { ANSWER_ROWS } from './rows/answers.ts';
import { CALLER_ROWS } from './rows/callers.ts';
import { LIFETIME_ROWS } from './rows/lifetimes.ts';
import { RETRY_AFTER_ROWS } from './rows/retry-after.ts';
import { TRANSPORT_ROWS } from './rows/transport.ts';

const ROWS = [...TRANSPORT_ROWS, ...ANSWER_ROWS, ...RETRY_AFTER_ROWS, ...LIFETIME_ROWS, ...CALLER_ROWS];

for (const crowd of [undefined, true] as const) {
  const rows = ROWS.filter((row) => row.crowd === crowd).map((row) => [`${row.id}: ${row.name}`, row] as const);
  const group = crowd ? describe : describe.concurrent;
  group(crowd ? 'the sidecar in a crowd' : 'the sidecar under token faults', () => {
    it.each<readonly [string, FaultRow]>(rows)('%s', async (_name, row) => {
      expect(await playRow(row, 'sidecar')).toEqual(row.defect === undefined ? [] : [row.defect]);
    });
  });
}
