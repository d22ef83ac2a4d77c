/** Where a CPU profile of Node spent its time, as a table by function, each without what it has called. */
import { readFileSync } from 'node:fs';
import { renderTable } from './report/table.ts';

interface Profile {
  readonly nodes: readonly ProfileNode[];
  /** Node under way at each sample, and µs since the one before. */
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

interface ProfileNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
}

const SHOWN = 40;
/** Waiting for something to do. */
const IDLE = '(idle)';

/** Share of the time on the core, by the function that was running. */
function selfTimes({ nodes, samples, timeDeltas }: Profile): [name: string, share: number][] {
  const names = new Map(nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]));
  const times = new Map<string, number>();
  for (const [index, id] of samples.entries()) {
    const name = names.get(id) ?? '?';
    times.set(name, (times.get(name) ?? 0) + (timeDeltas[index] ?? 0));
  }
  times.delete(IDLE);
  const total = [...times.values()].reduce((sum, time) => sum + time, 0);
  return [...times].map(([name, time]): [string, number] => [name, time / total]).sort(([, a], [, b]) => b - a);
}

/** Without the folders in front of our own files and of packages. */
function nameOf({ functionName, url, lineNumber }: ProfileNode['callFrame']): string {
  const name = functionName || '(anonymous)';
  const file = url.replace(/^file:\/\/.*\/(?=(?:dist|src|node_modules)\/)/, '').replace(/^.*node_modules\//, '');
  return file === '' ? name : `${name}  ${file}:${lineNumber + 1}`;
}

const [, , file] = process.argv;
if (file === undefined) {
  process.stderr.write('npm run bench:profile -- FILE.cpuprofile\n');
  process.exit(2);
}
const rows = selfTimes(JSON.parse(readFileSync(file, 'utf8')) as Profile)
  .slice(0, SHOWN)
  .map(([name, share]) => [`${(share * 100).toFixed(1)} %`, name]);
process.stdout.write(renderTable(['of the time', 'in'], rows));
