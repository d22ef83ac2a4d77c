/**
 * Parts of packages that the program loads with what it uses and never calls: in a bundle each is replaced by a stub. The
 * source imports the packages by their public paths and knows nothing of this.
 *
 * Beside the same program with the whole packages, medians of 15 paired rounds on two busy cores: a start takes 0.88 of the
 * CPU time (564 ms beside 611 ms), an idle process 0.96 of the resident memory (83.7 MiB beside 86.8 MiB); the package has
 * 2.4 MB instead of 3.7 MB, and 33 packages inside instead of 54.
 *
 *     npm run build -- --whole /tmp/whole
 *     npm run bench -- --workloads start,memory --compare /tmp/whole
 */
import type { Plugin } from 'rolldown';

interface Row {
  readonly package: string;
  /** Folder or file in the package; all of it without. */
  readonly part?: string;
  /** CommonJS: as much of the part as is asked for while the program starts. */
  readonly stub: string;
}

const NOTHING = 'module.exports = {};';
/** Makes compilers of schemas; no route has a schema for them. */
const NO_COMPILER = 'module.exports = () => () => { throw new Error("left out of the bundle"); };';

const ROWS: readonly Row[] = [
  // Only the pool and what it stands on runs; the index loads everything.
  { package: 'undici', part: 'lib/web/cache/cachestorage.js', stub: 'exports.CacheStorage = class CacheStorage {};' },
  { package: 'undici', part: 'lib/web/', stub: NOTHING },
  { package: 'undici', part: 'lib/mock/', stub: NOTHING },
  { package: 'undici', part: 'lib/cache/', stub: NOTHING },
  { package: 'undici', part: 'lib/interceptor/', stub: NOTHING },
  // Another parser, an experiment that an environment variable would switch on.
  { package: 'undici', part: 'lib/dispatcher/parser-h1.js', stub: 'exports.getMiloEnabled = () => false;' },
  { package: '@fastify/ajv-compiler', stub: NO_COMPILER },
  { package: '@fastify/fast-json-stringify-compiler', stub: NO_COMPILER },
  { package: 'light-my-request', stub: NOTHING },
  { package: 'pino', stub: NOTHING },
];

export interface LeftOut {
  readonly plugin: Plugin;
  /** Whether a stub stands for this module. */
  has(moduleId: string): boolean;
  /** What nothing was left out by: a package has changed. */
  unused(): string[];
}

export function leaveOut(rows = ROWS): LeftOut {
  const unused = new Set(rows);
  const rowFor = (moduleId: string) => {
    const path = moduleId.replaceAll('\\', '/');
    return rows.find((row) => path.includes(placeOf(row)));
  };
  return {
    has: (moduleId) => rowFor(moduleId) !== undefined,
    unused: () => [...unused].map(placeOf),
    plugin: {
      name: 'left-out',
      load(moduleId) {
        const row = rowFor(moduleId);
        if (row === undefined) return null;
        unused.delete(row);
        return row.stub;
      },
    },
  };
}

function placeOf({ package: name, part = '' }: Row): string {
  return `/node_modules/${name}/${part}`;
}
