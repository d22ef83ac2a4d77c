/** The bench: the sidecar beside what people would use instead. `npm run bench -- --help` shows its options. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { endWithBench, pinChildren } from './children.ts';
import { programOf, runComparison } from './compare.ts';
import { startGenerator } from './generator.ts';
import type { World } from './lanes.ts';
import { type Options, readOptions, USAGE } from './options.ts';
import { renderChart } from './report/chart.ts';
import { passes } from './report/comparison.ts';
import { buildReport, readMachine } from './report/report.ts';
import { renderReport } from './report/terminal.ts';
import { checkNames, planWorkloads, runWorkloads } from './run.ts';
import { startStore } from './store.ts';
import { startUpstream } from './upstream.ts';

const ROOT = join(import.meta.dirname, '../..');

/** Returns false for a comparison that does not pass. */
async function bench(options: Options): Promise<boolean> {
  const main = join(ROOT, options.from === 'dist' ? 'dist/main.js' : 'src/main.ts');
  if (!existsSync(main)) throw new Error('Cannot find dist/main.js. Run npm run build.');
  endWithBench();
  // A smoke run measures nothing, and is faster on all cores.
  const machine = readMachine(!options.smoke && pinChildren());
  const folder = mkdtempSync(join(tmpdir(), 'aritma-bench-'));
  // After the children are dead: they have files open in this folder.
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  const isFleetWanted = options.compare === undefined && (options.workloads?.includes('fleet') ?? true);
  const [upstream, generator, store] = await Promise.all([
    startUpstream(folder),
    startGenerator(),
    isFleetWanted ? startStore(folder) : undefined,
  ]);
  const nodeFlags = options.profile ? ['--cpu-prof', `--cpu-prof-dir=${resolve(options.profile)}`] : [];
  const world: World = {
    folder,
    upstream,
    generator,
    store,
    main,
    nodeFlags,
    warmRequests: options.smoke ? 40 : 20_000,
  };
  const workloads = planWorkloads(options, {
    tls: upstream.tlsPort !== undefined,
    store: store !== undefined || !isFleetWanted,
  });
  const findings = await (options.compare === undefined
    ? runWorkloads(world, workloads, options)
    : runComparison(world, programOf(options.compare, join(folder, 'before')), workloads, options));
  await Promise.all([generator.stop(), upstream.stop(), store?.stop()]);
  const titles = Object.fromEntries(workloads.map(({ name, title }) => [name, title]));
  const missing = isFleetWanted && !store ? ['redis-server'] : [];
  const report = buildReport({ findings, options, machine, titles, missing });
  process.stdout.write(renderReport(report));
  if (options.json) writeFileSync(options.json, `${JSON.stringify(report)}\n`);
  if (options.svg) writeFileSync(options.svg, renderChart(report));
  const { comparison, rounds } = findings;
  return options.smoke || comparison === undefined || passes(comparison, rounds);
}

const args = process.argv.slice(2);
if (args.includes('--help')) {
  process.stdout.write(USAGE);
  process.exit();
}
const options = readChecked();
try {
  process.exit((await bench(options)) ? 0 : 1);
} catch (error) {
  process.stderr.write(`${(error as Error).stack}\n`);
  process.exit(1);
}

function readChecked(): Options {
  try {
    const given = readOptions(args);
    checkNames(given);
    return given;
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${USAGE}`);
    process.exit(2);
  }
}
