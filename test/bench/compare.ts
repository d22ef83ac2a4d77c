/**
 * Compares builds of the sidecar, start by start: `node test/bench/compare.ts [--rounds 7] FOLDER FOLDER…`, with folders
 * made by `npm run build -- FOLDER`. The order changes from round to round, and each build is compared with the first one
 * of the same round, so that a busy minute affects all builds.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { endWithBench } from './children.ts';
import { anonymousBytes, cpuSeconds, residentBytes } from './load/processes.ts';
import { spreadOf } from './report/statistics.ts';
import { number, renderTable } from './report/table.ts';
import { SIDECAR } from './subjects/sidecar.ts';
import { startUpstream, type Upstream } from './upstream.ts';

interface Start {
  readonly readyMs: number;
  /** Of the start and the next second. */
  readonly cpuMs: number;
  readonly residentMiB: number;
  readonly anonymousMiB: number;
}

/** Time to collect the garbage of a start. */
const SETTLE_MS = 1000;
const MIB = 1024 ** 2;
const FIGURES = ['readyMs', 'cpuMs', 'residentMiB', 'anonymousMiB'] as const;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: 'string', default: '7' } },
});
const rounds = Number(values.rounds);
if (positionals.length < 2 || !(rounds > 0)) {
  process.stderr.write(
    'npm run bench:compare -- [--rounds 7] FOLDER FOLDER…   (folders made by npm run build -- FOLDER)\n',
  );
  process.exit(2);
}
endWithBench();
const folder = mkdtempSync(join(tmpdir(), 'aritma-bench-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
const upstream = await startUpstream();
const starts = await compare(positionals, upstream);
await upstream.stop();
process.stdout.write(`${render(positionals, starts)}\n`);
process.exit();

/** Returns the starts of each program, by round. */
async function compare(programs: readonly string[], upstream: Upstream): Promise<Start[][]> {
  const starts: Start[][] = programs.map(() => []);
  // The first start of each fills the disk cache.
  for (const program of programs) await startOnce(program, upstream);
  for (let round = 0; round < rounds; round += 1) {
    const order = [...programs.keys()];
    for (const index of round % 2 === 0 ? order : order.reverse()) {
      starts[index]?.push(await startOnce(programs[index] ?? '', upstream));
    }
  }
  return starts;
}

async function startOnce(program: string, upstream: Upstream): Promise<Start> {
  const own = mkdtempSync(join(folder, 'start-'));
  const running = await SIDECAR.start({
    ...{ scheme: 'http', upstreamPort: upstream.port, caFile: undefined, folder: own },
    tokenEndpoint: `http://127.0.0.1:${upstream.port}/connect/3600`,
    sidecar: { main: join(resolve(program), 'main.js'), nodeFlags: [], anyCore: true },
  });
  await pause(SETTLE_MS);
  const { readyMs = Number.NaN, pids } = running;
  const start = {
    ...{ readyMs, cpuMs: cpuSeconds(pids) * 1000 },
    ...{ residentMiB: residentBytes(pids) / MIB, anonymousMiB: anonymousBytes(pids) / MIB },
  };
  await running.stop();
  return start;
}

function render(programs: readonly string[], starts: readonly Start[][]): string {
  const [first = []] = starts;
  const rows = programs.flatMap((program, index) => {
    const own = starts[index] ?? [];
    return FIGURES.map((figure) => {
      const ratios = own.map((start, round) => start[figure] / (first[round]?.[figure] ?? Number.NaN));
      const [value, ratio] = [spreadOf(own.map((start) => start[figure])), spreadOf(ratios)];
      const spread = `${number(ratio?.low)}–${number(ratio?.high)}`;
      return [program, figure, number(value?.median), number(ratio?.median), spread];
    });
  });
  return renderTable(['program', 'figure', 'median', 'to the first', 'quartiles'], rows);
}
