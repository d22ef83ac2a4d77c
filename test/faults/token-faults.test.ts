/** The token fault matrix, played by the sidecar, which has to pass every row, and by a naive control, which must not. */
import { afterAll, describe, expect, it } from 'vitest';
import { type FaultRow, playRow } from '../support/fault-row.ts';
import { ANSWER_ROWS } from './rows/answers.ts';
import { CALLER_ROWS } from './rows/callers.ts';
import { LIFETIME_ROWS } from './rows/lifetimes.ts';
import { RETRY_AFTER_ROWS } from './rows/retry-after.ts';
import { TRANSPORT_ROWS } from './rows/transport.ts';

const ROWS = [...TRANSPORT_ROWS, ...ANSWER_ROWS, ...RETRY_AFTER_ROWS, ...LIFETIME_ROWS, ...CALLER_ROWS];
const passed = { sidecar: 0, naive: 0 };
const asked = ROWS.filter(({ control }) => control === 'passes' || 'fails' in control);

async function playSidecar(row: FaultRow): Promise<void> {
  const complaints = await playRow(row, 'sidecar');
  expect(complaints).toEqual(row.defect === undefined ? [] : [row.defect]);
  if (complaints.length === 0) passed.sidecar += 1;
}

async function playControl(row: FaultRow): Promise<void> {
  const { control } = row;
  const complaints = await playRow(row, 'naive');
  if (complaints.length === 0) passed.naive += 1;
  if (control === 'passes') expect(complaints).toEqual([]);
  else if ('fails' in control) expect(complaints).toContain(control.fails);
}

for (const crowd of [undefined, true] as const) {
  const named = (rows: readonly FaultRow[]) =>
    rows.filter((row) => row.crowd === crowd).map((row) => [`${row.id}: ${row.name}`, row] as const);
  const group = crowd ? describe : describe.concurrent;

  group(crowd ? 'the sidecar in a crowd' : 'the sidecar under token faults', () => {
    it.each(named(ROWS))('%s', (_name, row) => playSidecar(row));
  });

  group(crowd ? 'the naive control in a crowd' : 'the naive control under token faults', () => {
    it.each(named(asked))('%s', (_name, row) => playControl(row));
  });
}

it('the naive control fails at least two thirds of the rows it is asked', () => {
  expect(passed.naive).toBeLessThanOrEqual(asked.length / 3);
});

afterAll(() => {
  const naive = `naive ${passed.naive} of ${asked.length} pass`;
  process.stdout.write(`${ROWS.length} rows, sidecar ${passed.sidecar} pass, ${naive}\n`);
});
