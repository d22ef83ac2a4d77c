/** The bench: the sidecar side by side with what people would use instead. `npm run bench -- --help` says how to run it. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { endWithBench } from './children.ts';
import { startGenerator } from './generator.ts';
import { createLanes, type Lane, type World } from './lanes.ts';
import { type Options, readOptions, USAGE } from './options.ts';
import { type Figures, figuresOf } from './report/figures.ts';
import { number, renderTable } from './report/table.ts';
import { type Round, runRounds } from './rounds.ts';
import { SUBJECTS } from './subjects/all.ts';
import { startUpstream } from './upstream.ts';
import { LOADS } from './workloads/load.ts';
import { PLAIN, type Workload } from './workloads/workload.ts';

const ROOT = join(import.meta.dirname, '../..');

async function bench(options: Options): Promise<void> {
  const main = options.from === 'dist' ? join(ROOT, 'dist/main.js') : join(ROOT, 'src/main.ts');
  if (!existsSync(main)) throw new Error('there is no dist: npm run build');
  endWithBench();
  const folder = mkdtempSync(join(tmpdir(), 'aritma-bench-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  const upstream = await startUpstream(folder);
  const generator = await startGenerator();
  const world: World = { folder, upstream, generator, main, warmMs: options.smoke ? 0 : 2000 };
  const lanes = createLanes(world);
  const rounds: Round[] = [];
  for (const workload of LOADS.filter(({ name }) => options.workloads?.includes(name) ?? true)) {
    process.stderr.write(`${workload.title}\n`);
    const pace = {
      rounds: options.rounds,
      warmMs: options.smoke ? 50 : 300,
      measureMs: options.seconds * 1000,
    };
    rounds.push(...(await runRounds(world, lanes, { workload, over: lanesOf(workload, options) }, pace)));
  }
  await lanes.close();
  await Promise.all([generator.stop(), upstream.stop()]);
  report(rounds, options);
}

function lanesOf({ variants = [PLAIN] }: Workload, options: Options): Lane[] {
  const subjects = SUBJECTS.filter(
    (subject) => (options.subjects?.includes(subject.name) ?? true) && subject.version() !== undefined,
  );
  return subjects.flatMap((subject) => variants.map((variant) => ({ subject, variant })));
}

function report(rounds: readonly Round[], { json }: Options): void {
  const figures = figuresOf(rounds);
  const rows = figures
    .toSorted(byPlace)
    .map(({ workload, lane, values, invalidRounds }) => [
      workload,
      lane,
      ...[values.cpuUs, values.perSecond, values.p50Ms, values.p99Ms, values.p999Ms].map((spread) =>
        spread ? `${number(spread.median)} (${number(spread.low)}–${number(spread.high)})` : '–',
      ),
      String(invalidRounds),
    ]);
  const header = ['workload', 'subject', 'CPU µs/request', 'requests/s', 'p50 ms', 'p99 ms', 'p99.9 ms', 'invalid'];
  process.stdout.write(renderTable(header, rows));
  if (json) writeFileSync(json, `${JSON.stringify({ figures, rounds }, undefined, 1)}\n`);
}

/** Workloads stay in their order, subjects get theirs. */
function byPlace(a: Figures, b: Figures): number {
  const place = ({ lane }: Figures) => SUBJECTS.findIndex(({ name }) => name === lane.split(',')[0]);
  return a.workload === b.workload ? place(a) - place(b) : 0;
}

const args = process.argv.slice(2);
if (args.includes('--help')) process.stdout.write(USAGE);
else await bench(readOptions(args));
process.exit();
