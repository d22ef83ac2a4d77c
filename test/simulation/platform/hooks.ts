/**
 * Puts our modules in the place of Node's for importers in `src/` and in the clients of networks: network, disk, timers, random numbers. The
 * importers themselves are not changed.
 */
import { realpathSync } from 'node:fs';
import { type ResolveFnOutput, registerHooks } from 'node:module';
import { pathToFileURL } from 'node:url';
import { replaceGlobals } from './globals.ts';

const MODULES = new URL('modules/', import.meta.url).href;
const SOURCE = new URL('../../../src/', import.meta.url).href;
const SUPPORT = new URL('../../support/', import.meta.url).href;
/** Where it really is: importers are known by that. */
const LIBRARIES = pathToFileURL(realpathSync(new URL('../../../node_modules/', import.meta.url))).href;
const [UNDICI, FASTIFY, IOREDIS, PROM_CLIENT] = ['undici', 'fastify', 'ioredis', 'prom-client'].map(
  (name) => `${LIBRARIES}/${name}/`,
) as [string, string, string, string];

const FOR_SOURCE = 'crypto fs fs/promises http net os perf_hooks sqlite timers/promises tls v8'.split(' ');
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
  // A module that src loads on first use would be looked for on the real disk in each history.
  const found = new Map<string, ResolveFnOutput>();
  registerHooks({
    resolve(specifier, context, next) {
      const { parentURL = '' } = context;
      const name = `${specifier} ${parentURL}`;
      const known = found.get(name);
      if (known) return known;
      const substitute = substituteFor(specifier, parentURL);
      const resolved: ResolveFnOutput = substitute
        ? { url: substitute, shortCircuit: true, format: 'module-typescript' }
        : next(specifier, context);
      if (parentURL.startsWith(SOURCE)) found.set(name, { ...resolved, shortCircuit: true });
      return resolved;
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
