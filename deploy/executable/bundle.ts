/**
 * The program and its packages as one ES module that needs nothing but Node. Not minified: a stack trace in a bug report
 * names functions as the source does.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Plugin, rolldown } from 'rolldown';

const ROOT = join(import.meta.dirname, '../..');

export interface Bundle {
  readonly code: string;
  /** Folders of the packages in it. */
  readonly packages: readonly string[];
}

/** @throws Error when the bundle would need a file or package that is not in it */
export async function bundle(): Promise<Bundle> {
  const build = await rolldown({
    input: join(ROOT, 'src/main.ts'),
    cwd: ROOT,
    platform: 'node',
    tsconfig: false,
    plugins: [versionInside()],
  });
  const { output } = await build.generate({ format: 'esm', codeSplitting: false }).finally(() => build.close());
  const [chunk, ...others] = output;
  // A dynamic import of what is inside names the bundle itself.
  const imports = [...chunk.imports, ...chunk.dynamicImports].filter((name) => name !== chunk.fileName);
  const outside = [...imports.filter((name) => !name.startsWith('node:')), ...others.map(({ fileName }) => fileName)];
  if (outside.length > 0) throw new Error(`not in the bundle: ${outside.join(', ')}`);
  return { code: asciiOnly(chunk.code), packages: packagesOf(chunk.moduleIds) };
}

/** There is no package.json beside an executable. */
function versionInside(): Plugin {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
  return {
    name: 'version-inside',
    load: {
      filter: { id: /[\\/]src[\\/]version\.ts$/ },
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
