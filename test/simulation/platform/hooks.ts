/**
 * Puts our modules in the place of Node's for importers in `src/` and in the clients of networks: network, disk, timers, random numbers. The
 * importers themselves are not changed.
 */
import { registerHooks } from 'node:module';
import { replaceGlobals } from './globals.ts';

const MODULES = new URL('modules/', import.meta.url).href;
const SOURCE = new URL('../../../src/', import.meta.url).href;
const SUPPORT = new URL('../../support/', import.meta.url).href;
const UNDICI = new URL('../../../node_modules/undici/', import.meta.url).href;
const FASTIFY = new URL('../../../node_modules/fastify/', import.meta.url).href;
const IOREDIS = new URL('../../../node_modules/ioredis/', import.meta.url).href;
const PROM_CLIENT = new URL('../../../node_modules/prom-client/', import.meta.url).href;

const FOR_SOURCE = ['crypto', 'fs', 'fs/promises', 'http', 'net', 'os', 'perf_hooks', 'timers/promises', 'tls', 'v8'];
/** Whose imports are replaced, and which. */
const IMPORTERS: readonly (readonly [folder: string, names: readonly string[]])[] = [
  [SOURCE, FOR_SOURCE],
  [UNDICI, ['net', 'tls']],
  [IOREDIS, ['net', 'tls']],
  [FASTIFY, ['http']],
  [PROM_CLIENT, ['perf_hooks']],
];

/** Call once, before any module of `src/` is loaded. @param change of the source of a module of ours, for planted mistakes */
export function installPlatform(change?: (url: string, source: string) => string): void {
  replaceGlobals();
  registerHooks({
    resolve(specifier, context, next) {
      const substitute = substituteFor(specifier, context.parentURL ?? '');
      return substitute
        ? { url: substitute, shortCircuit: true, format: 'module-typescript' }
        : next(specifier, context);
    },
    load(url, context, next) {
      const loaded = next(url, context);
      if (!change || !(url.startsWith(SOURCE) || url.startsWith(SUPPORT))) return loaded;
      return { ...loaded, source: change(url, String(loaded.source)) };
    },
  });
}

function substituteFor(specifier: string, importer: string): string | undefined {
  // undici's own timers have one tick for the whole process: that of a killed one would stop those of all others.
  if (importer.startsWith(UNDICI) && /\/timers(?:\.js)?$/.test(specifier)) return `${MODULES}undici-timers.ts`;
  const name = specifier.replace(/^node:/, '');
  const isReplaced = IMPORTERS.some(([folder, names]) => importer.startsWith(folder) && names.includes(name));
  return isReplaced ? `${MODULES}${name.replaceAll(/[/_]/g, '-')}.ts` : undefined;
}
