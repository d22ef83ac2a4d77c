/** The table of attacks, played on raw sockets against the sidecar, which has to pass every row, and a naive control. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AttackRow, playAttack } from '../support/attack-row.ts';
import {
  baselineOf,
  HAS_PROC,
  type Subject,
  startNaiveSubject,
  startSidecarSubject,
} from '../support/attack-subject.ts';
import { descriptorsOf } from '../support/flood.ts';
import { BROKEN_ANSWER_ROWS } from './rows/broken-answers.ts';
import { FAULT_ROWS } from './rows/faults.ts';
import { FIELD_ROWS } from './rows/fields.ts';
import { FRAMING_ROWS } from './rows/framing.ts';
import { METHOD_ROWS } from './rows/methods.ts';
import { REQUEST_LINE_ROWS } from './rows/request-line.ts';
import { ANSWER_ROWS } from './rows/responses.ts';

const ROWS: readonly AttackRow[] = [
  ...REQUEST_LINE_ROWS,
  ...FIELD_ROWS,
  ...FRAMING_ROWS,
  ...ANSWER_ROWS,
  ...FAULT_ROWS,
  ...METHOD_ROWS,
  ...BROKEN_ANSWER_ROWS,
];
const ASKED = ROWS.filter(({ leftOut }) => leftOut === undefined);
const NAIVES = 4;
/** What a call through both needs on a busy machine is less. */
const HASTE = { timeouts: { firstByte: '1s', idle: '1s' } };

interface Attacked {
  readonly subject: Subject;
  readonly baseline: number;
}

const passed = { sidecar: 0, naive: 0 };
const naiveResults = new Map<AttackRow, PromiseWithResolvers<string[]>>(
  ASKED.map((row) => [row, Promise.withResolvers()]),
);
let patient: Attacked;
let hasty: Attacked;
const naives: Subject[] = [];
const named = (rows: readonly AttackRow[]) => rows.map((row) => [`${row.id} ${row.name}`.slice(0, 160), row] as const);

async function attacked(config?: Readonly<Record<string, unknown>>): Promise<Attacked> {
  const subject = await startSidecarSubject(config);
  // What the first request opens for good belongs to the baseline.
  await playAttack({ id: '', name: '', play: async () => undefined }, subject);
  return { subject, baseline: HAS_PROC ? await baselineOf(subject.pid) : Number.POSITIVE_INFINITY };
}

/** The control's rows are played beside the sidecar's: most of their time is waiting for answers that never come. */
async function playNaive(subject: Subject, queue: AttackRow[]): Promise<void> {
  for (let row = queue.shift(); row; row = queue.shift()) {
    const complaints = await playAttack(row, subject).catch((error: unknown) => [String(error)]);
    naiveResults.get(row)?.resolve(complaints);
  }
}

beforeAll(async () => {
  const [first, second, ...controls] = await Promise.all([
    attacked(),
    attacked(HASTE),
    ...Array.from({ length: NAIVES }, startNaiveSubject),
  ]);
  [patient, hasty] = [first, second];
  naives.push(...controls);
  const queue = [...ASKED];
  for (const naive of naives) void playNaive(naive, queue);
});

describe('the sidecar under attack', () => {
  it.each(named(ROWS))('%s', async (_name, row) => {
    const { subject, baseline } = row.hasty ? hasty : patient;
    const complaints = await playAttack(row, subject);
    expect(complaints.join('; ')).toBe(row.defect ?? '');
    if (HAS_PROC) await expect.poll(() => descriptorsOf(subject.pid), { interval: 2 }).toBeLessThanOrEqual(baseline);
    if (complaints.length === 0) passed.sidecar += 1;
  });

  it.skipIf(HAS_PROC)('file descriptors are not counted: this system has no /proc', () => undefined);
});

describe('the naive control under attack', () => {
  it.each(named(ASKED))('%s', async (_name, row) => {
    const complaints = (await naiveResults.get(row)?.promise) ?? [];
    if (complaints.length === 0) passed.naive += 1;
    if (row.naiveFails) expect(complaints).not.toEqual([]);
  });

  it('passes at most half of the rows it is asked', () => {
    expect(passed.naive).toBeLessThanOrEqual(ASKED.length / 2);
  });
});

afterAll(async () => {
  const naive = `naive ${passed.naive} of ${ASKED.length} pass`;
  process.stdout.write(`${ROWS.length} rows, sidecar ${passed.sidecar} pass, ${naive}\n`);
  await Promise.all([...naives, patient.subject, hasty.subject].map((subject) => subject[Symbol.asyncDispose]()));
});
