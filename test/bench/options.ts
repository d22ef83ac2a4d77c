/** The options of the bench. */
import { parseArgs } from 'node:util';

export interface Options {
  readonly rounds: number;
  /** Length of each measurement. */
  readonly seconds: number;
  /** Requests of the workload `memory`. */
  readonly requests: number;
  /** Length of the workload `idle`. */
  readonly idleSeconds: number;
  /** Names; absent = all. */
  readonly subjects: readonly string[] | undefined;
  readonly workloads: readonly string[] | undefined;
  /** Files to write. */
  readonly json: string | undefined;
  readonly svg: string | undefined;
  /** Folder for a CPU profile of every sidecar. */
  readonly profile: string | undefined;
  /** Only checks that everything works. */
  readonly smoke: boolean;
  /** Where the sidecar runs from. */
  readonly from: 'dist' | 'src';
  /** Folder of another checkout or build: only the sidecar is measured, beside that one as `before`. */
  readonly compare: string | undefined;
  /** The sidecar under each of many sets of Node's flags, beside the floor. */
  readonly flags: boolean;
}

/** What flags are judged by: one caller, several, many, a steady pace, and memory. */
const FLAG_WORKLOADS = ['get-1', 'get-32', 'get-512', 'open-200', 'memory'];
/** The same, large bodies, and the start. */
const COMPARE_WORKLOADS = [...FLAG_WORKLOADS, 'get-1m', 'start'];

export const USAGE = `npm run bench -- [options]

  --rounds N          interleaved rounds of each measurement (5)
  --seconds S         length of each measurement (2)
  --subjects a,b      measure only these subjects
  --workloads x,y     run only these workloads
  --requests N        requests of the workload memory (1000000)
  --idle-seconds S    length of the workload idle (60)
  --json FILE         write everything measured
  --svg FILE          write a chart
  --profile FOLDER    write a CPU profile of every sidecar
  --smoke             only check that everything works
  --from dist|src     where the sidecar runs from (dist)
  --compare FOLDER    the sidecar beside another checkout or build of it, "before": fails if this one is over 3 % slower;
                      7 rounds of 1 s, up to 21 for what is undecided (npm run build -- FOLDER makes a build)
  --flags             run the sidecar under many sets of Node's flags beside the floor, and name the worst ratio
`;

/** @throws Error that explains the mistake in one line */
export function readOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      requests: { type: 'string' },
      'idle-seconds': { type: 'string' },
      subjects: { type: 'string' },
      workloads: { type: 'string' },
      json: { type: 'string' },
      svg: { type: 'string' },
      profile: { type: 'string' },
      smoke: { type: 'boolean', default: false },
      from: { type: 'string', default: 'dist' },
      compare: { type: 'string' },
      flags: { type: 'boolean', default: false },
    },
  });
  const { smoke, from, compare, flags } = values;
  if (from !== 'dist' && from !== 'src') throw new Error('--from must be dist or src');
  const rounds = positive('rounds', values.rounds ?? (smoke ? '1' : compare ? '7' : '5'));
  if (compare !== undefined && !smoke && rounds < 6) throw new Error('--compare needs --rounds of 6 at least');
  return {
    rounds,
    seconds: positive('seconds', values.seconds ?? (smoke ? '0.15' : compare ? '1' : '2')),
    requests: positive('requests', values.requests ?? (smoke ? '2000' : '1000000')),
    idleSeconds: positive('idle-seconds', values['idle-seconds'] ?? (smoke ? '0.5' : '60')),
    subjects: compare ? ['sidecar'] : (values.subjects?.split(',') ?? (flags ? ['sidecar', 'floor'] : undefined)),
    workloads: values.workloads?.split(',') ?? (compare ? COMPARE_WORKLOADS : flags ? FLAG_WORKLOADS : undefined),
    json: values.json,
    svg: values.svg,
    profile: values.profile,
    smoke,
    from,
    compare,
    flags,
  };
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new Error(`--${name} must be a number above 0`);
  return value;
}
