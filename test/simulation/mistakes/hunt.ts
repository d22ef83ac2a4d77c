/** Looks for the first seed that finds a mistake. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Line } from '../seeds.ts';
import { MISTAKES } from './mistakes.ts';

export interface Hunt {
  readonly name: string;
  /** Undefined when no seed finds it. */
  readonly found: Found | undefined;
  /** How many seeds were played. */
  readonly seeds: number;
}

interface Found {
  readonly seed: number;
  readonly invariant: string;
  readonly detail: string;
}

const SIMULATE = fileURLToPath(new URL('../main.ts', import.meta.url));

/** Plays seeds from 1 until one finds the mistake and is fine without it. @throws Error when the program fails */
export async function hunt(name: string, most: number): Promise<Hunt> {
  let seeds = 0;
  const child = [SIMULATE, '--child', ...(MISTAKES[name]?.needs ? ['--fleets', 'all'] : [])];
  for await (const { seed, violated, detail = '' } of played([...child, '--plant', name, '--seeds', `1-${most}`])) {
    seeds += 1;
    if (violated === undefined || (await isViolated([...child, '--seeds', `${seed}-${seed}`]))) continue;
    return { name, seeds, found: { seed, invariant: violated, detail } };
  }
  if (seeds < most) throw new Error(`${name}: the program ended after ${seeds} seeds`);
  return { name, seeds, found: undefined };
}

async function isViolated(one: readonly string[]): Promise<boolean> {
  for await (const { violated } of played(one)) return violated !== undefined;
  throw new Error(`${one.slice(1).join(' ')} cannot be played`);
}

/** Ends the program when nobody wants more. */
async function* played(args: readonly string[]): AsyncGenerator<Line> {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    for await (const line of createInterface({ input: child.stdout })) yield JSON.parse(line) as Line;
  } finally {
    child.kill('SIGKILL');
  }
}
