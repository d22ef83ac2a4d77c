/** What the bench is asked for on its command line. */
import { parseArgs } from 'node:util';

export interface Options {
  readonly rounds: number;
  /** Of every measurement. */
  readonly seconds: number;
  /** Of the workload that watches memory. */
  readonly requests: number;
  /** Names; absent = all. */
  readonly subjects: readonly string[] | undefined;
  readonly workloads: readonly string[] | undefined;
  /** Files to write. */
  readonly json: string | undefined;
  readonly svg: string | undefined;
  /** Folder that gets a CPU profile of every sidecar. */
  readonly profile: string | undefined;
  /** As little as shows that everything works. */
  readonly smoke: boolean;
  /** What the sidecar is run from. */
  readonly from: 'dist' | 'src';
  /** Folder of another build, which is measured beside it as `before`. */
  readonly against: string | undefined;
  /** Of Node, for that one. */
  readonly againstFlags: readonly string[];
  /** The sidecar under each of many sets of Node's flags, beside the floor. */
  readonly flags: boolean;
}

/** What flags are judged by: one caller, several, many, a steady pace, and memory. */
const FLAG_WORKLOADS = ['get-1', 'get-32', 'get-512', 'open-200', 'memory'];

export const USAGE = `npm run bench -- [options]

  --rounds N          of each measurement, interleaved (5)
  --seconds S         each of them lasts (2)
  --subjects a,b      only these
  --workloads x,y     only these
  --requests N        while memory is watched (1000000)
  --json FILE         everything measured
  --svg FILE          a chart
  --profile FOLDER    a CPU profile of every sidecar
  --smoke             tiny: does everything still work?
  --from dist|src     what the sidecar is run from (dist)
  --against FOLDER    another build beside it, as "before" (npm run build -- FOLDER makes one)
  --against-flags F   options of Node it is deployed with, where they are not those of now
  --flags             the sidecar under many sets of Node's flags beside the floor, judged by the worst ratio
`;

/** @throws Error with what is wrong, in one line */
export function readOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      requests: { type: 'string' },
      subjects: { type: 'string' },
      workloads: { type: 'string' },
      json: { type: 'string' },
      svg: { type: 'string' },
      profile: { type: 'string' },
      smoke: { type: 'boolean', default: false },
      from: { type: 'string', default: 'dist' },
      against: { type: 'string' },
      'against-flags': { type: 'string', default: '' },
      flags: { type: 'boolean', default: false },
    },
  });
  const { smoke, from } = values;
  if (from !== 'dist' && from !== 'src') throw new Error('--from is dist or src');
  return {
    rounds: positive('rounds', values.rounds ?? (smoke ? '1' : '5')),
    seconds: positive('seconds', values.seconds ?? (smoke ? '0.15' : '2')),
    requests: positive('requests', values.requests ?? (smoke ? '2000' : '1000000')),
    subjects: values.subjects?.split(',') ?? (values.flags ? ['sidecar', 'floor'] : undefined),
    workloads: values.workloads?.split(',') ?? (values.flags ? FLAG_WORKLOADS : undefined),
    json: values.json,
    svg: values.svg,
    profile: values.profile,
    smoke,
    from,
    against: values.against,
    againstFlags: values['against-flags'].split(' ').filter(Boolean),
    flags: values.flags,
  };
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new Error(`--${name} is a number above 0`);
  return value;
}
