/** The rotation of a fleet's secret, in every order of steps and faults within bounds: `test/model/fleet-rotation.pml`, by spin. */
import { spawnSync } from 'node:child_process';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createFolder } from '../support/folder.ts';

const installed = spawnSync('spin', ['-V']).status === 0 && spawnSync('gcc', ['--version']).status === 0;
/** Somebody has no secret that works. */
const WITHOUT_SECRET = 'isAway[0]';
const MODEL = join(import.meta.dirname, '..', 'model', 'fleet-rotation.pml');

function runTool(cwd: string, program: string, args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(program, args, { cwd, encoding: 'utf8', timeout: 110_000 });
  if (status !== 0) throw new Error(`${program}: ${status}\n${stdout.slice(-2000)}${stderr.slice(-2000)}`);
  return stdout;
}

interface Bounds {
  readonly faults: number;
  readonly attempts: number;
  readonly mistake?: string;
}

/** @returns what spin found, and whether it has seen all states */
function check({ faults, attempts, mistake }: Bounds) {
  using folder = createFolder();
  copyFileSync(MODEL, join(folder.path, 'fleet-rotation.pml'));
  const switches = [
    `FAULTS=${faults}`,
    `ATTEMPTS=${attempts}`,
    ...(mistake === undefined ? [] : [`MISTAKE_${mistake}`]),
  ];
  runTool(folder.path, 'spin', ['-a', ...switches.map((text) => `-D${text}`), 'fleet-rotation.pml']);
  // The model makes equal states one by itself, in C that spin's partial order reduction does not see.
  const modes = ['-DSAFETY', '-DNOREDUCE', '-DCOLLAPSE', '-DMEMLIM=3000', '-w', faults > 1 ? '-O2' : '-O0'];
  runTool(folder.path, 'gcc', [...modes, '-o', 'pan', 'pan.c']);
  const started = performance.now();
  const output = runTool(folder.path, './pan', ['-m100000']);
  const [, errors, states] = /errors: (\d+)\s+(\d+) states, stored/.exec(output) ?? [];
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  process.stdout.write(`${switches.join(' ')}: states ${states}, errors ${errors}, ${seconds} s\n`);
  const isWhole = !/max search depth too small|reached -DMEMLIM|Search not completed/.test(output);
  return { errors: Number(errors), problem: /^pan:1: (.*) \(at depth/m.exec(output)?.[1] ?? '', isWhole };
}

/** Each with the assertion that finds it. */
const MISTAKES = [
  {
    ...{ mistake: 'NO_ACKNOWLEDGEMENT', attempts: 1, assertion: WITHOUT_SECRET },
    text: 'the old secret is deleted before all have the new one',
  },
  {
    ...{ mistake: 'INCOMPLETE', attempts: 1, assertion: WITHOUT_SECRET },
    text: 'a rotation begins while not all members are known',
  },
  {
    ...{ mistake: 'FORGETS_SILENT', attempts: 1, assertion: WITHOUT_SECRET },
    text: 'the last words of a silent member are forgotten',
  },
  {
    ...{ mistake: 'CLEANED_FIRST', attempts: 1, assertion: 'strays[m]&' },
    text: 'strays are deleted before the journal is written',
  },
  {
    ...{ mistake: 'LEASE_AGAIN', attempts: 1, assertion: '>ended' },
    text: 'a lease that was over is taken again to go on',
  },
  {
    ...{ mistake: 'NO_FENCING', attempts: 1, assertion: 'journal<=base[m]' },
    text: 'a holder writes after its lease, whatever is there',
  },
  {
    ...{ mistake: 'NO_EXPIRY', attempts: 1, assertion: 'lease==3' },
    text: 'a lease stays until it is given back',
  },
  {
    ...{ mistake: 'NOT_PUT_BACK', attempts: 1, assertion: 'journal>=seen[0]' },
    text: 'a journal that the store has lost is not put back',
  },
  {
    ...{ mistake: 'GO_ON_AT_ONCE', attempts: 2, assertion: '==1)||' },
    text: 'a rotation goes on while an older journal may be the one that was put back',
  },
] as const;

describe.skipIf(!installed && !process.env['CI'])('the model of a rotation, by spin', () => {
  it.each<[number, number]>([
    [0, 2],
    [1, 1],
    [1, 2],
    [2, 1],
  ])('has no wrong state with %i faults in %i rotations', (faults, attempts) => {
    expect(check({ faults, attempts })).toEqual({ errors: 0, problem: '', isWhole: true });
  });

  it.each(MISTAKES)('finds a mistake: $text', ({ mistake, attempts, assertion }) => {
    const found = check({ faults: 1, attempts, mistake });
    expect(found.errors).toBe(1);
    expect(found.problem).toContain(assertion);
  });
});
