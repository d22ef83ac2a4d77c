/** The report as text with Markdown tables, to paste into a document. */
import { type Figures, pairedRatio } from './figures.ts';
import type { Report } from './report.ts';
import { type Spread, spreadOf } from './statistics.ts';
import { number, renderTable } from './table.ts';
import { addedLatencyMs, type Verdict } from './targets.ts';

const MIB = 1024 * 1024;
/** Above this share, load generator and upstream limit the subject. */
const BUSY_SHARE = 0.9;

export function renderReport(report: Report): string {
  return [
    about(report),
    ...workloads(report),
    memory(report),
    sparse(report),
    idle(report),
    cold(report),
    ...fleet(report),
    others(report),
    comparison(report),
    flags(report),
    targets(report),
  ]
    .filter((part) => part !== '')
    .join('\n');
}

function about({ machine, options, subjects, skipped }: Report): string {
  const cores = machine.pinned ? 'subject on one core, load generator and upstream on another' : 'nothing pinned';
  const lines = [
    `${machine.cpu}, ${machine.cores} cores (${cores}), Linux ${machine.kernel}, Node ${machine.node}, load at the beginning ${number(machine.loadBefore)}`,
    `${options.rounds} rounds of ${options.seconds} s, interleaved; median (first quartile–third quartile)`,
    ...(skipped.length > 0 ? [`not installed, not measured: ${skipped.join(', ')}`] : []),
  ];
  const rows = subjects.map(({ name, version, does, logs }) => [name, version, logs ? 'yes' : 'no', does]);
  return `${lines.join('\n')}\n\n${renderTable(['subject', 'version', 'logs requests', 'does'], rows)}`;
}

function workloads({ figures, titles, findings }: Report): string[] {
  return Object.entries(titles).flatMap(([workload, title]) => {
    const own = figures.filter((one) => one.workload === workload);
    if (own.length === 0) return [];
    const columns = columnsFor(workload, figures);
    const rows = own.map((one) => [one.lane, ...columns.map(({ cell }) => cell(one)), validity(one)]);
    const wrong = findings.rounds.flatMap((round) => (round.workload === workload ? problemsOf(round) : []));
    const header = ['subject', ...columns.map(({ title: name }) => name), 'valid rounds'];
    return [`${title} (${workload})\n\n${renderTable(header, rows)}${wrong.join('')}`];
  });
}

interface Column {
  readonly title: string;
  readonly cell: (figures: Figures) => string;
}

function columnsFor(workload: string, all: readonly Figures[]): Column[] {
  const cpu = { title: 'CPU µs/request', cell: ({ values }: Figures) => spread(values.cpuUs) };
  const latency = (['p50Ms', 'p99Ms', 'p999Ms'] as const).map((measure) => ({
    title: { p50Ms: 'p50 ms', p99Ms: 'p99 ms', p999Ms: 'p99.9 ms' }[measure],
    cell: ({ values }: Figures) => spread(values[measure]),
  }));
  if (workload === 'download' || workload === 'upload')
    return [
      { title: 'CPU s', cell: ({ values }) => spread(values.cpuUs, 1e-6) },
      { title: 'MiB/s', cell: ({ values }) => spread(values.mibPerSecond) },
      { title: 'memory grown, MiB', cell: ({ values }) => spread(values.grownMiB) },
    ];
  if (workload === 'open-200')
    return [
      cpu,
      ...latency,
      ...(['p50Ms', 'p99Ms'] as const).map((measure) => ({
        title: `added ${measure.replace('Ms', '')} ms`,
        cell: ({ lane }: Figures) => number(addedLatencyMs(all, lane, measure)),
      })),
    ];
  return [cpu, { title: 'requests/s', cell: perSecond }, ...latency];
}

function perSecond({ values }: Figures): string {
  const busy = (values.measuringShare?.median ?? 0) > BUSY_SHARE;
  return `${spread(values.perSecond)}${busy ? ' +' : ''}`;
}

function validity({ validRounds, invalidRounds }: Figures): string {
  return invalidRounds === 0 ? String(validRounds) : `${validRounds}, ${invalidRounds} INVALID`;
}

function problemsOf({ lane, round, result, failure }: Report['findings']['rounds'][number]): string[] {
  const nothing = result?.requests === 0 ? 'no response in time' : '';
  const said =
    failure ??
    Object.entries(result?.errors ?? {})
      .map(([error, count]) => `${count} × ${error}`)
      .join(', ');
  const problem = said || nothing;
  return problem === '' ? [] : [`INVALID: ${lane}, round ${round + 1}: ${problem}\n`];
}

function memory({ findings }: Report): string {
  if (findings.memory.length === 0) return '';
  const rows = findings.memory.map(({ subject, connections, idleBytes, idleAnonymousBytes, loadedBytes, errors }) => [
    subject,
    String(connections),
    number(idleBytes / MIB),
    number(idleAnonymousBytes / MIB),
    loadedBytes.map((bytes) => Math.round(bytes / MIB)).join(' ') || '–',
    Object.keys(errors).length === 0 ? '0' : `INVALID ${JSON.stringify(errors)}`,
  ]);
  const requests = Math.max(...findings.memory.map((one) => one.requests));
  const header = [
    'subject',
    'callers',
    'idle',
    'of it anonymous',
    `ten readings over ${number(requests)} requests`,
    'errors',
  ];
  return `resident memory, MiB (memory)\n\n${renderTable(header, rows)}`;
}

function sparse({ findings }: Report): string {
  if (findings.sparse.length === 0) return '';
  const rows = findings.sparse
    .toSorted((a, b) => a.pauseS - b.pauseS)
    .map(({ subject, pauseS, ms, connections, errors }) => [
      subject,
      String(pauseS),
      spread(spreadOf(ms)),
      `${connections} of ${ms.length + errors}`,
      String(errors),
    ]);
  const header = ['subject', 's between calls', 'ms of a call', 'new TLS connections', 'errors'];
  return `calls with pauses, over TLS, 40 ms there and back (sparse)\n\n${renderTable(header, rows)}`;
}

function idle({ findings }: Report): string {
  if (findings.idle.length === 0) return '';
  const rows = findings.idle.map(({ subject, seconds, cpuPercent, wakeUpsPerMinute }) => [
    subject,
    number(seconds),
    number(cpuPercent),
    number(wakeUpsPerMinute),
  ]);
  return `nobody calls (idle)\n\n${renderTable(['subject', 's', '% of a core', 'wake-ups/min'], rows)}`;
}

function cold({ findings }: Report): string {
  if (findings.cold.length === 0) return '';
  const rows = findings.cold.map(({ callers, tokenRequests, result }) => [
    String(callers),
    String(tokenRequests),
    String(callers - result.requests),
    number(result.seconds),
    JSON.stringify(result.errors),
  ]);
  const header = ['callers at once', 'token requests', 'failures', 's until all had their response', 'errors'];
  return `callers before there is a token (cold)\n\n${renderTable(header, rows)}`;
}

const FLEET_MODES = { fleet: 'a fleet', naive: 'a shared cache that nobody claims', alone: 'each alone' } as const;

function fleet({ findings }: Report): string[] {
  if (!findings.fleet) return [];
  const { results, warm } = findings.fleet;
  const rows = results.flatMap(({ mode, members, storeBytes, ...phases }) =>
    (['cold', 'refresh', 'dead'] as const).map((phase) => {
      const { tokenRequests, servedMs, commands, beats, failed } = phases[phase];
      const { dead } = phases;
      const who = phase === 'dead' ? `${dead.members}, each with ${dead.callers} callers` : String(members);
      const costs = [number(servedMs), number(commands), number(beats), phase === 'cold' ? number(storeBytes) : '–'];
      return [FLEET_MODES[mode], phase, who, String(tokenRequests), String(failed), ...costs];
    }),
  );
  const header = [
    ...['members are', 'event', 'members', 'token requests', 'without a token', 'ms until all have it'],
    ...['commands a member', 'of it heartbeats', 'bytes in the store'],
  ];
  const count =
    warm && `${warm.commands} commands for ${number(warm.requests)} warm requests, ${warm.beats} heartbeats\n`;
  return [`members of a fleet at once (fleet)\n\n${renderTable(header, rows)}`, count ?? ''];
}

function others({ findings: { starts, package: size } }: Report): string {
  const lines = [
    ...(starts.length > 0 ? [`start to ready with a token (start): ${starts.map(number).join(', ')} ms\n`] : []),
    ...(size
      ? [
          `package: ${number(size.packedBytes / 1024)} KiB, unpacked ${number(size.unpackedBytes / 1024)} KiB, ${size.files} files\n`,
        ]
      : []),
  ];
  return lines.join('');
}

/** Compares round by round, so that a busy minute affects both. */
function comparison({ findings }: Report): string {
  if (!findings.comparison) return '';
  const rows = findings.comparison.map(({ workload, measure, own, before, ratio, verdict }) => [
    ...[workload, measure, spread(own), spread(before)],
    ...[ratio?.median, ratio?.low, ratio?.high].map((value) => value?.toFixed(3) ?? '–'),
    ...[String(ratio?.count ?? 0), verdict],
  ]);
  const header = ['workload', 'measure', 'this tree', 'before', 'ratio', 'from', 'to', 'rounds', 'this tree is'];
  return `this tree / the one before, paired, with the 95 % interval\n\n${renderTable(header, rows)}`;
}

/** A set that is good in one workload and bad in another is a bad set: the worst ratio counts. */
function flags({ findings: { rounds }, options }: Report): string {
  if (!options.flags) return '';
  const names = [...new Set(rounds.map(({ workload }) => workload))];
  const lanes = [...new Set(rounds.map(({ lane }) => lane))].filter((lane) => lane !== 'floor');
  const rows = lanes.map((lane) => {
    const ratios = names.map((workload) => pairedRatio(rounds, { workload, measure: 'cpuUs' }, lane, 'floor'));
    const late = pairedRatio(rounds, { workload: 'get-512', measure: 'p999Ms' }, lane, 'floor');
    const worst = Math.max(...ratios.map((ratio) => ratio?.median ?? Number.NaN));
    return [lane, ...ratios.map((ratio) => spread(ratio)), spread(late), number(worst)];
  });
  const header = ['flags', ...names.map((name) => `CPU, ${name}`), 'p99.9, get-512', 'worst CPU'];
  return `flags, as ratios to the floor, paired\n\n${renderTable(header, rows)}`;
}

function targets({ verdicts, options }: Report): string {
  if (options.compare !== undefined) return '';
  if (options.smoke) return 'smoke run: too short for figures\n';
  const rows = verdicts.map(({ target, atMost, atLeast, reached, holds }: Verdict) => [
    target,
    atMost === undefined ? `≥ ${atLeast}` : `≤ ${atMost}`,
    spread(reached),
    holds === undefined ? 'not measured' : holds ? 'holds' : 'FAILS',
  ]);
  return `targets\n\n${renderTable(['sidecar', 'target', 'reached', ''], rows)}`;
}

function spread(values: Spread | undefined, factor = 1): string {
  if (values === undefined) return '–';
  const [median, low, high] = [values.median, values.low, values.high].map((value) => number(value * factor));
  return values.count === 1 ? String(median) : `${median} (${low}–${high})`;
}
