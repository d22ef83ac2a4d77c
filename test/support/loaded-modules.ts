/** A sidecar from the bundle that tells what it has loaded: modules of Node, packages, folders of ours. */
import { readFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { type Bundle, bundle } from '../../deploy/package/bundle.ts';
import { createFolder } from './folder.ts';
import { type SidecarProcess, type SidecarProcessOptions, startSidecarProcess } from './sidecar-process.ts';
import { until } from './until.ts';

export interface Loaded {
  /** By their public names; and packages inside Node. */
  readonly node: readonly string[];
  readonly packages: readonly string[];
  /** Of `src/`. */
  readonly folders: readonly string[];
}

export interface Watched extends AsyncDisposable {
  readonly sidecar: SidecarProcess;
  /** Returns everything loaded since the start, sorted. */
  loaded(): Promise<Loaded>;
}

const SOURCE = join(import.meta.dirname, '../../src');

/** For any number of sidecars. */
export const bundleToWatch = (): Promise<Bundle> => bundle('many');

/** Resolves when it has its first token. */
export async function startWatched(built: Bundle, options: SidecarProcessOptions): Promise<Watched> {
  const folder = createFolder();
  // At the end: a chunk is loaded when it has run.
  for (const { fileName, code } of built.chunks)
    folder.write(fileName, `${code}\n(globalThis.loadedChunks ??= []).push(${JSON.stringify(fileName)});\n`);
  const list = folder.write('list.json', '');
  const sidecar = await startSidecarProcess({ ...options, main: join(folder.path, 'main.js'), before: listing(list) });
  let asked = 0;
  return {
    sidecar,
    async loaded() {
      asked += 1;
      process.kill(sidecar.pid, 'SIGUSR2');
      const lines = () => readFileSync(list, 'utf8').split('\n');
      await until('the list is written', () => lines().length > asked);
      const [nodes, chunks] = JSON.parse(lines()[asked - 1] ?? '') as [string[], string[]];
      return { node: publicNames(nodes), ...partsOf(built, chunks) };
    },
    async [Symbol.asyncDispose]() {
      await sidecar[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    },
  };
}

/** Imports nothing, because that would be in the list. */
function listing(file: string): string {
  return `process.on('SIGUSR2', () => {
  const lists = [process.moduleLoadList, globalThis.loadedChunks];
  process.getBuiltinModule('node:fs').appendFileSync(${JSON.stringify(file)}, JSON.stringify(lists) + '\\n');
});`;
}

function publicNames(entries: readonly string[]): string[] {
  const names = entries.filter((entry) => entry.startsWith('NativeModule ')).map((entry) => entry.slice(13));
  return names.filter((name) => isBuiltin(`node:${name}`) || name.startsWith('internal/deps/')).sort();
}

function partsOf({ chunks, modules }: Bundle, loaded: readonly string[]): Omit<Loaded, 'node'> {
  const ids = chunks
    .filter(({ fileName }) => loaded.includes(fileName))
    .flatMap(({ moduleIds }) => moduleIds.filter((id) => modules.includes(id)));
  const packages = ids.flatMap((id) => /^.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(id)?.[1] ?? []);
  const folders = ids.map((id) => relative(SOURCE, dirname(id))).filter((path) => !path.startsWith('..'));
  return { packages: [...new Set(packages)].sort(), folders: [...new Set(folders)].sort() };
}
