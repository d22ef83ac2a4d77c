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
import { isBuiltin } from 'node:module';
import { sep } from 'node:path';
import type { Plugin } from 'rolldown';

interface Row {
  /** Or a module of Node as packages ask for it: `node:http2`. */
  readonly package: string;
  /** Folder or file in the package; all of it without. */
  readonly part?: string;
  /** The package that does without it; others have the whole. */
  readonly for?: string;
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
  // HTTP/1.1 only, and no SOCKS.
  { package: 'node:http2', stub: NOTHING },
  { package: 'undici', part: 'lib/dispatcher/client-h2.js', stub: NOTHING },
  { package: 'undici', part: 'lib/dispatcher/socks5-proxy-agent.js', stub: NOTHING },
  { package: '@fastify/ajv-compiler', stub: NO_COMPILER },
  { package: '@fastify/fast-json-stringify-compiler', stub: NO_COMPILER },
  { package: 'light-my-request', stub: NOTHING },
  { package: 'pino', stub: NOTHING },
  // For plugins that ask for a version of Fastify, and for an address behind a proxy that is trusted.
  { package: 'semver', stub: NOTHING },
  { package: '@fastify/proxy-addr', stub: NOTHING },
  // Prometheus asks.
  { package: 'prom-client', part: 'lib/pushgateway.js', stub: NOTHING },
  // With DEBUG set it would print each command, with the password of the store among them.
  { package: 'ioredis', part: 'built/utils/debug.js', stub: 'exports.default = () => () => {};' },
  // For exemplars of prom-client's own process metrics.
  { package: '@opentelemetry/api', for: 'prom-client', stub: NOTHING },
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
    return rows.find((row) => (row.for === undefined ? path.includes(placeOf(row)) : path === `\0${placeOf(row)}`));
  };
  const isStubbed = (row: Row, specifier: string, importer = '') =>
    row.package === specifier &&
    (isBuiltin(specifier) || (row.for !== undefined && importer.includes(`${sep}node_modules${sep}${row.for}${sep}`)));
  return {
    has: (moduleId) => rowFor(moduleId) !== undefined,
    unused: () => [...unused].map(placeOf),
    plugin: {
      name: 'left-out',
      resolveId(specifier, importer, { kind }) {
        const isLeftOut = kind === 'require-call' && rows.some((row) => isStubbed(row, specifier, importer));
        return isLeftOut ? `\0${placeOf({ package: specifier })}` : null;
      },
      load(moduleId) {
        const row = rowFor(moduleId);
        if (row === undefined) return null;
        unused.delete(row);
        return row.stub;
      },
    },
  };
}

function placeOf({ package: name, part = '' }: Pick<Row, 'package' | 'part'>): string {
  return `/node_modules/${name}/${part}`;
}
