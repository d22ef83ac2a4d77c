/** The targets of the sidecar, as a table, and what it reaches. */

import type { FleetResult } from '../workloads/fleet.ts';
import { driftOf } from '../workloads/memory.ts';
import { type Figures, type Measure, pairedRatio } from './figures.ts';
import type { Findings } from './report.ts';
import { type Spread, spreadOf } from './statistics.ts';

export interface Verdict {
  readonly target: string;
  /** One of the two is given. */
  readonly atMost?: number;
  readonly atLeast?: number;
  /** Undefined if something it needs was not measured, or has no valid round. */
  readonly reached: Spread | undefined;
  readonly holds: boolean | undefined;
}

interface Measured {
  readonly findings: Findings;
  readonly figures: readonly Figures[];
}

interface Target {
  readonly target: string;
  readonly atMost?: number;
  readonly atLeast?: number;
  readonly reached: (measured: Measured) => Spread | undefined;
}

const MIB = 1024 * 1024;
const ratio =
  (workload: string, measure: Measure, by: string, lane = 'sidecar') =>
  ({ findings }: Measured) =>
    pairedRatio(findings.rounds, { workload, measure }, lane, by);
const growth =
  (workload: string) =>
  ({ figures }: Measured) =>
    find(figures, workload, 'sidecar')?.values.grownMiB;

const idle =
  (measure: 'cpuPercent' | 'wakeUpsPerMinute') =>
  ({ findings }: Measured) =>
    spreadOf(findings.idle.filter(({ subject }) => subject === 'sidecar').map((result) => result[measure]));

const fleet =
  (value: (result: FleetResult) => number) =>
  ({ findings }: Measured) =>
    spreadOf((findings.fleet?.results ?? []).filter(({ mode }) => mode === 'fleet').map(value));

/** Of members of a fleet; all of them together where nothing else is said. */
const FLEET_TARGETS: readonly Target[] = [
  { target: 'token requests of a fleet, cold', atMost: 1, reached: fleet(({ cold }) => cold.tokenRequests) },
  { target: 'token requests of a fleet, refresh', atMost: 1, reached: fleet(({ refresh }) => refresh.tokenRequests) },
  { target: 'token requests of a fleet, dead token', atMost: 1, reached: fleet(({ dead }) => dead.tokenRequests) },
  {
    target: 'members and callers of a fleet without a token',
    atMost: 0,
    reached: fleet(({ cold, refresh, dead }) => cold.failed + refresh.failed + dead.failed),
  },
  { target: 'cold fleet served after the response, ms', atMost: 1500, reached: fleet(({ cold }) => cold.servedMs) },
  { target: 'fleet refreshed after the response, ms', atMost: 1500, reached: fleet(({ refresh }) => refresh.servedMs) },
  { target: 'store commands a member, cold', atMost: 6, reached: fleet(({ cold }) => cold.commands) },
  { target: 'store commands a member, refresh', atMost: 6, reached: fleet(({ refresh }) => refresh.commands) },
  {
    target: 'CPU of a small GET in a fleet / alone',
    atMost: 1.01,
    reached: ratio('fleet', 'cpuUs', 'sidecar, plain', 'sidecar, fleet'),
  },
  {
    target: 'store commands of all warm requests',
    atMost: 0,
    reached: ({ findings }) => spreadOf([findings.fleet?.warm?.commands].filter((count) => count !== undefined)),
  },
];

const TARGETS: readonly Target[] = [
  { target: 'CPU of a small GET / floor', atMost: 1.05, reached: ratio('get-32', 'cpuUs', 'floor') },
  { target: 'CPU of a small GET / nginx', atMost: 2.8, reached: ratio('get-32', 'cpuUs', 'nginx') },
  { target: 'CPU of a small GET / Caddy', atMost: 0.6, reached: ratio('get-32', 'cpuUs', 'caddy') },
  { target: 'CPU of a small GET / http-proxy-3', atMost: 0.4, reached: ratio('get-32', 'cpuUs', 'http-proxy-3') },
  {
    target: 'p99 with a new token every second / without',
    atMost: 1.1,
    reached: ratio('refresh', 'p99Ms', 'sidecar, plain', 'sidecar, refresh'),
  },
  {
    target: 'CPU with the identity server down / up',
    atMost: 1.1,
    reached: ratio('outage', 'cpuUs', 'sidecar, plain', 'sidecar, outage'),
  },
  {
    target: 'CPU of a small GET with a tenth traced / none',
    atMost: 1.1,
    reached: ratio('traces', 'cpuUs', 'sidecar, plain', 'sidecar, traced'),
  },
  { target: 'latency added at 200/s, p99 / nginx', atMost: 2.5, reached: addedLatencyRatio },
  { target: 'download speed / nginx', atLeast: 0.5, reached: ratio('download', 'perSecond', 'nginx') },
  { target: 'upload speed / nginx', atLeast: 0.5, reached: ratio('upload', 'perSecond', 'nginx') },
  { target: 'memory grown by the download, MiB', atMost: 48, reached: growth('download') },
  { target: 'memory grown by the upload, MiB', atMost: 48, reached: growth('upload') },
  { target: 'memory idle, MiB', atMost: 65, reached: ({ findings }) => inMiB(memoryOf(findings)?.idleBytes) },
  {
    target: 'maximum memory under load, MiB',
    atMost: 110,
    reached: ({ findings }) => inMiB(Math.max(...(memoryOf(findings)?.loadedBytes ?? []))),
  },
  { target: 'memory at the end / in the middle', atMost: 1.05, reached: ({ findings }) => drift(findings) },
  { target: 'CPU while idle, % of a core', atMost: 0.1, reached: idle('cpuPercent') },
  { target: 'wake-ups a minute while idle', atMost: 150, reached: idle('wakeUpsPerMinute') },
  { target: 'start to ready, ms', atMost: 350, reached: ({ findings }) => spreadOf(findings.starts) },
  {
    target: 'token requests of all cold callers',
    atMost: 1,
    reached: ({ findings }) => spreadOf(findings.cold.map(({ tokenRequests }) => tokenRequests)),
  },
  {
    target: 'failures of cold callers',
    atMost: 0,
    reached: ({ findings }) => spreadOf(findings.cold.map(({ callers, result }) => callers - result.requests)),
  },
  ...FLEET_TARGETS,
];

export function judge(findings: Findings, figures: readonly Figures[]): Verdict[] {
  return TARGETS.map(({ reached: compute, ...target }) => {
    const reached = compute({ findings, figures });
    const holds = reached && reached.median <= (target.atMost ?? Infinity) && reached.median >= (target.atLeast ?? 0);
    return { ...target, reached, holds };
  });
}

/** Returns the added latency: with the proxy minus direct, each as the median over the rounds. */
export function addedLatencyMs(figures: readonly Figures[], lane: string, quantile: 'p50Ms' | 'p99Ms') {
  const through = find(figures, 'open-200', lane)?.values[quantile]?.median;
  const direct = find(figures, 'open-200', 'direct')?.values[quantile]?.median;
  return through === undefined || direct === undefined ? undefined : through - direct;
}

function addedLatencyRatio({ figures }: Measured): Spread | undefined {
  const [own, nginx] = ['sidecar', 'nginx'].map((lane) => addedLatencyMs(figures, lane, 'p99Ms'));
  // On a busy machine the difference can be zero or less.
  return own === undefined || nginx === undefined || nginx <= 0 ? undefined : spreadOf([own / nginx]);
}

function find(figures: readonly Figures[], workload: string, lane: string): Figures | undefined {
  return figures.find((one) => one.workload === workload && one.lane === lane);
}

function memoryOf({ memory }: Findings) {
  return memory.find(({ subject, errors }) => subject === 'sidecar' && Object.keys(errors).length === 0);
}

function drift(findings: Findings): Spread | undefined {
  const memory = memoryOf(findings);
  const value = memory && driftOf(memory);
  return value === undefined ? undefined : spreadOf([value]);
}

function inMiB(bytes: number | undefined): Spread | undefined {
  return bytes === undefined || !Number.isFinite(bytes) ? undefined : spreadOf([bytes / MIB]);
}
