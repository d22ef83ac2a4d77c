/** The rotation of a fleet's secret, in every order of steps and faults within bounds: `test/model/fleet-rotation.pml`, by spin. */
import { spawnSync } from 'node:child_process';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createFolder } from '../support/folder.ts';

const installed = spawnSync('spin', ['-V']).status === 0 && spawnSync('gcc', ['--version']).status === 0;
const MODEL = join(import.meta.dirname, '..', 'model', 'fleet-rotation.pml');

function runTool(cwd: string, program: string, args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(program, args, { cwd, encoding: 'utf8', timeout: 110_000 });
  if (status !== 0) throw new Error(`${program}: ${status}\n${stdout.slice(-2000)}${stderr.slice(-2000)}`);
  return stdout;
}

/** @returns what spin found, and whether it has seen all states */
function check(...switches: readonly string[]) {
  using folder = createFolder();
  copyFileSync(MODEL, join(folder.path, 'fleet-rotation.pml'));
  runTool(folder.path, 'spin', ['-a', ...switches.map((text) => `-D${text}`), 'fleet-rotation.pml']);
  runTool(folder.path, 'gcc', ['-DSAFETY', '-DCOLLAPSE', '-DMEMLIM=3000', '-O0', '-o', 'pan', 'pan.c']);
  const output = runTool(folder.path, './pan', ['-m100000']);
  const [, errors, states] = /errors: (\d+)\s+(\d+) states, stored/.exec(output) ?? [];
  process.stdout.write(`${switches.join(' ')}: states ${states}, errors ${errors}\n`);
  const isWhole = !/max search depth too small|reached -DMEMLIM|Search not completed/.test(output);
  return { errors: Number(errors), problem: /^pan:1: (.*) \(at depth/m.exec(output)?.[1] ?? '', isWhole };
}

const MISTAKES = [
  { mistake: 'NO_ACKNOWLEDGEMENT', faults: 0, assertion: 'isAway[0]', text: 'the old secret is deleted unasked' },
  {
    mistake: 'CLEANED_FIRST',
    faults: 1,
    assertion: 'isAway[0]',
    text: 'strays are deleted before the journal is written',
  },
  { mistake: 'NO_FENCING', faults: 1, assertion: 'journal<=base[m]', text: 'a holder writes after its lease' },
  { mistake: 'NO_EXPIRY', faults: 1, assertion: 'said[journal].phase', text: 'a lease stays until it is given back' },
] as const;

describe.skipIf(!installed && !process.env['CI'])('the model of a rotation, by spin', () => {
  it('has no wrong state in two rotations without faults', () => {
    expect(check('FAULTS=0', 'ATTEMPTS=2')).toEqual({ errors: 0, problem: '', isWhole: true });
  });

  it.each(MISTAKES)('finds a mistake: $text', ({ mistake, faults, assertion }) => {
    const found = check(`FAULTS=${faults}`, 'ATTEMPTS=1', `MISTAKE_${mistake}`);
    expect(found.errors).toBe(1);
    expect(found.problem).toContain(assertion);
  });
});
