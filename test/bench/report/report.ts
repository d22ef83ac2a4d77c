/** All results of a run, as written to the JSON file. */
import { cpus, loadavg, release } from 'node:os';
import type { Options } from '../options.ts';
import type { Round } from '../rounds.ts';
import type { FleetFindings } from '../run.ts';
import { SUBJECTS } from '../subjects/all.ts';
import type { ColdResult } from '../workloads/cold.ts';
import type { IdleResult } from '../workloads/idle.ts';
import type { MemoryResult } from '../workloads/memory.ts';
import type { SparseResult } from '../workloads/sparse.ts';
import type { PackageSize } from '../workloads/start.ts';
import type { Compared } from './comparison.ts';
import { type Figures, figuresOf } from './figures.ts';
import { judge, type Verdict } from './targets.ts';

/** Raw measurements; absent = not requested. */
export interface Findings {
  readonly rounds: readonly Round[];
  readonly sparse: readonly SparseResult[];
  readonly idle: readonly IdleResult[];
  readonly cold: readonly ColdResult[];
  /** Undefined also without redis-server. */
  readonly fleet?: FleetFindings;
  readonly memory: readonly MemoryResult[];
  /** ms of each start. */
  readonly starts: readonly number[];
  readonly package?: PackageSize | undefined;
  /** Only with another tree to compare with. */
  readonly comparison?: readonly Compared[];
}

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly kernel: string;
  readonly node: string;
  /** Subject on one core, load generator and upstream on another. */
  readonly pinned: boolean;
  /** Load average of the last minute before the bench; near 0 on an idle machine. */
  readonly loadBefore: number;
}

export interface Report {
  readonly date: string;
  readonly command: string;
  readonly machine: Machine;
  readonly options: Options;
  readonly subjects: readonly { name: string; version: string; does: string; logs: boolean }[];
  /** Not installed. */
  readonly skipped: readonly string[];
  /** Title of each workload, by name. */
  readonly titles: Readonly<Record<string, string>>;
  readonly figures: readonly Figures[];
  readonly findings: Findings;
  readonly verdicts: readonly Verdict[];
}

export function readMachine(pinned: boolean): Machine {
  const all = cpus();
  return {
    cpu: all[0]?.model.trim() ?? 'unknown',
    cores: all.length,
    kernel: release(),
    node: process.versions.node,
    pinned,
    loadBefore: loadavg()[0] ?? 0,
  };
}

/** @param parts.missing programs that workloads need, beside the subjects */
export function buildReport(
  parts: Pick<Report, 'findings' | 'options' | 'machine' | 'titles'> & { readonly missing: readonly string[] },
): Report {
  const { findings, options, machine, titles, missing } = parts;
  const chosen = SUBJECTS.filter(({ name }) => options.subjects?.includes(name) ?? true);
  const installed = chosen.map((subject) => ({ ...subject, version: subject.version() }));
  const figures = figuresOf(findings.rounds).toSorted(byPlace);
  return {
    date: new Date().toISOString(),
    command: ['npm run bench --', ...process.argv.slice(2)].join(' '),
    machine,
    options,
    subjects: installed.flatMap(({ name, version, does, logs }) =>
      version === undefined ? [] : [{ name, version, does, logs }],
    ),
    skipped: [...installed.filter(({ version }) => version === undefined).map(({ name }) => name), ...missing],
    titles,
    figures,
    findings,
    verdicts: judge(findings, figures),
  };
}

/** Keeps the order of workloads and sorts subjects within each. */
function byPlace(a: Figures, b: Figures): number {
  const place = ({ lane }: Figures) => SUBJECTS.findIndex(({ name }) => name === lane.split(',')[0]);
  return a.workload === b.workload ? place(a) - place(b) : 0;
}
