/**
 * The token protocol of the fleet, in every order of steps and faults within bounds: `test/model/fleet-tokens.pml`, checked
 * by spin. And whether the program does only what a member of the model does.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Forge, firstWrongStep, readRows, recordFleet } from '../support/fleet-trace.ts';
import { createFolder } from '../support/folder.ts';

const installed = spawnSync('spin', ['-V']).status === 0 && spawnSync('gcc', ['--version']).status === 0;
const MODEL = join(import.meta.dirname, '..', 'model');

interface Check {
  readonly name: string;
  readonly faults: number;
  readonly renewals: number;
  /** Of the model. */
  readonly switches?: readonly string[];
  /** Looks for endless steps, instead of for states that are wrong. */
  readonly endless?: boolean;
  /** Of the compiler: takes longer to compile, and less to run. */
  readonly optimize?: boolean;
}

function runTool(cwd: string, program: string, args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(program, args, { cwd, encoding: 'utf8', timeout: 110_000 });
  if (status !== 0)
    throw new Error(`${program} ${args.join(' ')}: ${status}\n${stdout.slice(-2000)}${stderr.slice(-2000)}`);
  return stdout;
}

/** Runs spin on the model, and prints how many states there are. @returns what was found, and the rows that were taken */
function check({ name, faults, renewals, switches = [], endless = false, optimize = false }: Check) {
  using folder = createFolder();
  for (const file of ['fleet-tokens.pml', 'member-steps.h']) copyFileSync(join(MODEL, file), join(folder.path, file));
  const defines = [`FAULTS=${faults}`, `RENEWALS=${renewals}`, 'SHOW_STEPS', ...switches].map((text) => `-D${text}`);
  runTool(folder.path, 'spin', ['-a', ...defines, 'fleet-tokens.pml']);
  const modes = [endless ? '-DNP' : '-DSAFETY', '-DCOLLAPSE', '-DMEMLIM=2000', optimize ? '-O1' : '-O0'];
  runTool(folder.path, 'gcc', [...modes, '-o', 'pan', 'pan.c']);
  const started = performance.now();
  const output = runTool(folder.path, './pan', ['-m100000', ...(endless ? ['-l'] : [])]);
  const [, errors, states] = /errors: (\d+)\s+(\d+) states, stored/.exec(output) ?? [];
  const [, megabytes] = /([\d.]+)\s+total actual memory usage/.exec(output) ?? [];
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  process.stdout.write(`${name}: states ${states}, errors ${errors}, ${seconds} s, ${megabytes} MB\n`);
  const problem = /^pan:1: (.*) \(at depth/m.exec(output)?.[1];
  // Out of memory or depth: not all has been seen.
  const isWhole = !/max search depth too small|reached -DMEMLIM|Search not completed/.test(output);
  const rows = new Set([...output.matchAll(/^row (\w+)$/gm)].map(([, row = '']) => row));
  return { errors: Number(errors), problem, isWhole, rows };
}

const MISTAKES = [
  {
    ...{ mistake: 'NO_FENCING', faults: 1, renewals: 0, assertion: 'sentClaim[m]>store.token' },
    text: 'a put overwrites whatever is there',
  },
  {
    ...{ mistake: 'NO_EXPIRY', faults: 1, renewals: 0, assertion: 'flight[i]' },
    text: 'a lock stays until its holder gives it back',
  },
  {
    ...{ mistake: 'ONE_VERDICT', faults: 0, renewals: 0, assertion: 'secret[m]==0' },
    text: 'a refused secret is noted for all secrets',
  },
  {
    ...{ mistake: 'HOLDER_ONLY', faults: 2, renewals: 1, assertion: 'store.lock==sentClaim[m]' },
    text: 'a lock says whose it is, not for which request',
  },
  {
    ...{ mistake: 'KNOWN_LATE', faults: 1, renewals: 1, assertion: '>used[m]' },
    text: 'a token counts as known only when the store has confirmed it',
  },
  {
    ...{ mistake: 'LATE_TOKEN', faults: 1, renewals: 2, assertion: '>used[m]' },
    text: 'a look that nobody waits for brings its token whatever has come meanwhile',
  },
  {
    ...{ mistake: 'LATER_SECRET', faults: 2, renewals: 0, assertion: 'secret[m]==0' },
    text: 'a refusal is noted for the secret of the claim, though the request had another',
  },
] as const;

describe.skipIf(!installed && !process.env['CI'])('the model of the fleet, by spin', () => {
  it('has no wrong state with two faults and a renewal, and takes each row of the table', () => {
    const found = check({ name: 'model', faults: 2, renewals: 1, optimize: true });
    expect(found).toMatchObject({ errors: 0, problem: undefined, isWhole: true });
    expect([...found.rows].sort()).toEqual([...readRows().keys()].sort());
  });

  it('has no wrong state with a fault and two renewals', () => {
    const found = check({ name: 'model, two renewals', faults: 1, renewals: 2, optimize: true });
    expect(found).toMatchObject({ errors: 0, problem: undefined, isWhole: true });
  });

  it('comes to an end whatever happens: no steps go on for ever', () => {
    const found = check({ name: 'model, endless steps', faults: 1, renewals: 1, endless: true, optimize: true });
    expect(found).toMatchObject({ errors: 0, problem: undefined, isWhole: true });
  });

  it.each(MISTAKES)('finds a mistake: $text', ({ mistake, faults, renewals, assertion }) => {
    const found = check({ name: mistake, faults, renewals, switches: [`MISTAKE_${mistake}`] });
    expect(found.errors).toBe(1);
    expect(found.problem).toContain(assertion);
  });
});

const SEEDS = 200;

/** @returns the first wrong step of the first seed that has one */
async function firstWrong(seeds: number, forge?: Forge, rows = readRows(), taken = new Set<string>()) {
  for (let seed = 1; seed <= seeds; seed += 1) {
    for (const steps of await recordFleet(seed, forge)) {
      const wrong = firstWrongStep(rows, steps, taken);
      if (wrong !== undefined) return `seed ${seed}: ${wrong}`;
    }
  }
  return undefined;
}

const busyToClaimed: Forge = (script, reply) =>
  script === 'acquire' && Array.isArray(reply) && reply[0] === 'busy' ? ['claimed', 1, 0] : reply;
const refusedToNothing: Forge = (script, reply) =>
  script === 'acquire' && Array.isArray(reply) && reply[0] === 'verdict' ? undefined : reply;
const supersededToStored: Forge = (script, reply) => (script === 'put' && reply === 0 ? 1 : reply);

describe('SharedToken', () => {
  it(`does only what a member of the model does, with ${SEEDS} seeds of faults, and all of it`, async () => {
    const taken = new Set<string>();
    expect(await firstWrong(SEEDS, undefined, readRows(), taken)).toBeUndefined();
    expect([...taken].sort()).toEqual([...readRows().keys()].sort());
  });

  it.each([
    ['fetches for all without a lock', busyToClaimed],
    ['goes on after a refusal', refusedToNothing],
    ['does not look for the token that is newer than its own', supersededToStored],
  ])('is caught when it %s', async (_, forge) => {
    expect(await firstWrong(SEEDS, forge)).toMatch(/^seed \d+: (step|never ends)/);
  });

  it('is caught when a row of the table leads elsewhere, whichever row', async () => {
    const recorded: string[][] = [];
    for (let seed = 1; seed <= SEEDS; seed += 1) recorded.push(...(await recordFleet(seed)));
    const missed = [...readRows().keys()].filter((row) => {
      const rows = new Map([...readRows(), [row, 'nowhere']]);
      return recorded.every((steps) => firstWrongStep(rows, steps, new Set()) === undefined);
    });
    expect(missed).toEqual([]);
  });
});
