/**
 * What is inside the npm package, the executables and the image, as CycloneDX on standard output: `npm run -s sbom`. npm
 * lists everything that is installed here; what the bundle holds, at the versions of the lock file, is picked from that.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bundle } from './bundle.ts';

interface Bom {
  readonly metadata: { readonly component: { readonly 'bom-ref': string } };
  readonly components: readonly { readonly 'bom-ref': string; readonly properties?: unknown }[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[];
}

const ROOT = join(import.meta.dirname, '../..');

const { packages } = await bundle('many');
const inside = new Set(packages.map(refOf));
const printed = execFileSync('npm', ['sbom', '--sbom-format', 'cyclonedx'], { cwd: ROOT, maxBuffer: 2 ** 26 });
const bom = JSON.parse(printed.toString()) as Bom;
const own = bom.metadata.component['bom-ref'];
// Its own word for each is "development", which is how they came here and not what they are.
const components = bom.components
  .filter((component) => inside.has(component['bom-ref']))
  .map(({ properties: _, ...component }) => component);
if (components.length < inside.size) throw new Error('npm does not know every package of the bundle: run npm ci');
const dependencies = bom.dependencies
  .filter(({ ref }) => ref === own || inside.has(ref))
  .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter((name) => inside.has(name)) }));
process.stdout.write(`${JSON.stringify({ ...bom, components, dependencies }, null, 2)}\n`);

function refOf(folder: string): string {
  const { name, version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Record<string, string>;
  return `${name}@${version}`;
}
