/** Shows a CPU profile of Node as two tables, by kind of code and by function. Times exclude called functions. */
import { readFileSync } from 'node:fs';
import { renderTable } from './report/table.ts';

interface Profile {
  readonly nodes: readonly ProfileNode[];
  /** Running node at each sample, and µs since the previous sample. */
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

interface ProfileNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
}

const SHOWN = 40;
/** Not running. */
const IDLE = '(idle)';

type NameOf = (frame: ProfileNode['callFrame']) => string;

/** Returns the share of CPU time of each name. */
function selfTimes({ nodes, samples, timeDeltas }: Profile, name: NameOf): [name: string, share: number][] {
  const names = new Map(nodes.map(({ id, callFrame }) => [id, name(callFrame)]));
  const times = new Map<string, number>();
  for (const [index, id] of samples.entries()) {
    const running = names.get(id) ?? '?';
    times.set(running, (times.get(running) ?? 0) + (timeDeltas[index] ?? 0));
  }
  times.delete(IDLE);
  const total = [...times.values()].reduce((sum, time) => sum + time, 0);
  return [...times].map(([running, time]): [string, number] => [running, time / total]).sort(([, a], [, b]) => b - a);
}

/** Packages can only be separated if they are not bundled: `--from src`. */
function kindOf({ functionName, url }: ProfileNode['callFrame']): string {
  if (functionName === IDLE) return IDLE;
  if (url === '' && /^write(?:Latin1String|Utf8String|Buffer|v)$/.test(functionName)) return 'writes';
  if (/undici/.test(url) || /wasm/.test(`${url}${functionName}`)) return 'undici';
  if (url.startsWith('node:')) return 'node';
  if (url === '') return functionName.startsWith('(') ? functionName : 'built into V8 and Node';
  return /node_modules/.test(url) ? 'other packages' : 'own';
}

/** Strips the folders before our own files and before packages. */
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
const profile = JSON.parse(readFileSync(file, 'utf8')) as Profile;
for (const name of [kindOf, nameOf]) {
  const rows = selfTimes(profile, name).slice(0, SHOWN);
  process.stdout.write(
    renderTable(
      ['share of time', 'in'],
      rows.map(([what, share]) => [`${(share * 100).toFixed(1)} %`, what]),
    ),
  );
}
