/**
 * The program and its packages as modules that need nothing but Node: a few files that Node reads at once instead of
 * seven hundred that it looks for one by one. Not minified: a stack trace in a bug report names functions and lines as the
 * source does. Without comments, which V8 would keep for as long as the process lives.
 *
 * Many files are CommonJS: Node loads each of them in one call, and leaves out its loader of ES modules altogether. Beside the
 * same files as ES modules, medians of 21 paired rounds on two busy cores: a start takes 0.88 of the CPU time, an idle process
 * 0.97 of the resident memory.
 */
import { readFileSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { type OutputChunk, type Plugin, type RolldownOutput, rolldown } from 'rolldown';
import { KEEP_COMPILED_CODE } from './compile-cache.ts';
import { leaveOut } from './left-out.ts';
import { nodeModules } from './node-modules.ts';

const ROOT = join(import.meta.dirname, '../..');

export interface Bundle {
  readonly chunks: readonly Pick<OutputChunk, 'fileName' | 'code' | 'moduleIds'>[];
  /** Files that are in it, and no stub. */
  readonly modules: readonly string[];
  /** Folders of the packages of which at least one module is in it. */
  readonly packages: readonly string[];
}

/** How the files in a folder are to be loaded: Node takes `.js` for what the nearest package.json says. */
export const TYPE_OF_MANY = 'commonjs';

/**
 * @param pieces one file, or `main.js` and what its commands load when they run
 * @param whole with what is otherwise left out, to compare
 * @throws Error when the bundle would need a file or package that is not in it, or has nothing of what is to be left out
 */
export async function bundle(pieces: 'one' | 'many', { whole = false } = {}): Promise<Bundle> {
  const leftOut = whole ? leaveOut([]) : leaveOut();
  const format = pieces === 'many' ? 'cjs' : 'esm';
  const build = await rolldown({
    input: join(ROOT, 'src/main.ts'),
    cwd: ROOT,
    platform: 'node',
    tsconfig: false,
    plugins: [versionInside(), nodeModules(format), leftOut.plugin],
  });
  const banner = ({ isEntry }: { readonly isEntry: boolean }) =>
    isEntry && pieces === 'many' ? KEEP_COMPILED_CODE : '';
  const settings = { format, comments: false, codeSplitting: pieces === 'many', banner } as const;
  const { output } = await build.generate(settings).finally(() => build.close());
  const chunks = output.filter((part) => part.type === 'chunk');
  const outside = missing(output);
  if (outside.length > 0) throw new Error(`not in the bundle: ${outside.join(', ')}`);
  const unused = leftOut.unused();
  if (unused.length > 0) throw new Error(`nothing to leave out any more: ${unused.join(', ')}`);
  const modules = chunks.flatMap(({ moduleIds }) => moduleIds).filter((id) => isAbsolute(id) && !leftOut.has(id));
  return {
    chunks: chunks.map(({ fileName, code, moduleIds }) => ({ fileName, code: asciiOnly(code), moduleIds })),
    modules,
    packages: packagesOf(modules),
  };
}

/** What the chunks ask for that is neither one of them nor Node's, and what is no code. */
function missing(output: RolldownOutput['output']): string[] {
  const names = new Set(output.map(({ fileName }) => fileName));
  return output.flatMap((part) => {
    if (part.type !== 'chunk') return [part.fileName];
    return [...part.imports, ...part.dynamicImports].filter((name) => !names.has(name) && !name.startsWith('node:'));
  });
}

/** A bundle's files lie elsewhere, and there is no package.json beside an executable. */
function versionInside(): Plugin {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
  return {
    name: 'version-inside',
    load: {
      filter: { id: /[\\/]src[\\/]core[\\/]version\.ts$/ },
      handler: () => `export const VERSION = ${JSON.stringify(version)};`,
    },
  };
}

/** V8 holds a source with one character beyond Latin-1 in two bytes a character, for as long as the process lives. */
function asciiOnly(code: string): string {
  return code.replace(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

function packagesOf(moduleIds: readonly string[]): string[] {
  const folders = moduleIds.map((id) => /^.*[\\/]node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+/.exec(id)?.[0]);
  return [...new Set(folders.filter((folder) => folder !== undefined))].sort();
}
