/**
 * What is inside the npm package, the executables and the image, as CycloneDX 1.5: the packages of a bundle at the versions
 * and checksums of the lock file, with their licences and who of them depends on whom. The same source gives the same bytes.
 */
import { readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';

interface Locked {
  readonly version?: string;
  /** As in `npm ci`: a hash's name and its Base64. */
  readonly integrity?: string;
  readonly license?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

type Lock = Readonly<Record<string, Locked>>;

const ROOT = join(import.meta.dirname, '../..');

/**
 * @param packages their folders
 * @param nodeVersion of the Node that goes with them, in an executable
 * @throws Error for a package that the lock file does not know
 */
export function sbomText(packages: readonly string[], nodeVersion?: string): string {
  const { packages: lock } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as { packages: Lock };
  const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Record<string, string>;
  const paths = packages.map((folder) => relative(ROOT, folder).replaceAll(sep, '/'));
  const own = `${manifest['name']}@${manifest['version']}`;
  const components = paths.map((path) => componentOf(path, lock));
  const dependencies = ['', ...paths].map((path) => ({
    ref: path === '' ? own : refOf(path, lock),
    dependsOn: dependenciesOf(path, lock).flatMap((other) => (paths.includes(other) ? refOf(other, lock) : [])),
  }));
  const bom = {
    $schema: 'http://cyclonedx.org/schema/bom-1.5.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.5',
    version: 1,
    metadata: {
      lifecycles: [{ phase: 'build' }],
      component: {
        'bom-ref': own,
        ...{ type: 'application', name: manifest['name'], version: manifest['version'] },
        ...{ description: manifest['description'], purl: purlOf(own), licenses: licencesOf(manifest['license']) },
      },
    },
    components: nodeVersion === undefined ? components : [nodeOf(nodeVersion), ...components],
    dependencies,
  };
  return `${JSON.stringify(bom, null, 2)}\n`;
}

function componentOf(path: string, lock: Lock) {
  const ref = refOf(path, lock);
  const { version, integrity = '', license } = lock[path] ?? {};
  const hashes = [...integrity.matchAll(/\bsha(\d+)-(\S+)/g)].map(([, bits, base64 = '']) => ({
    alg: `SHA-${bits}`,
    content: Buffer.from(base64, 'base64').toString('hex'),
  }));
  return {
    'bom-ref': ref,
    ...{ type: 'library', name: nameOf(path), version, scope: 'required', purl: purlOf(ref) },
    ...{ licenses: licencesOf(license), hashes },
  };
}

/** Under the names by which scanners know its weaknesses. */
function nodeOf(version: string) {
  return {
    'bom-ref': `node@${version}`,
    ...{ type: 'platform', name: 'node', version, scope: 'required', purl: `pkg:generic/node@${version}` },
    cpe: `cpe:2.3:a:nodejs:node.js:${version}:*:*:*:*:*:*:*`,
  };
}

function licencesOf(licence: string | undefined) {
  if (licence === undefined) return [];
  return [licence.includes(' ') ? { expression: licence } : { license: { id: licence } }];
}

function refOf(path: string, lock: Lock): string {
  const { version } = lock[path] ?? {};
  if (version === undefined) throw new Error(`${path} is not in the lock file: run npm ci`);
  return `${nameOf(path)}@${version}`;
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
}

function purlOf(ref: string): string {
  return `pkg:npm/${ref.replace(/^@/, '%40')}`;
}

/** Where Node finds what a package asks for: in its own folder or in that of a package around it. */
function dependenciesOf(path: string, lock: Lock): string[] {
  const { dependencies, optionalDependencies } = lock[path] ?? {};
  return Object.keys({ ...dependencies, ...optionalDependencies }).flatMap((name) => {
    for (let around = path; ; around = around.slice(0, Math.max(0, around.lastIndexOf('/node_modules/')))) {
      const found = `${around === '' ? '' : `${around}/`}node_modules/${name}`;
      if (lock[found]) return found;
      if (around === '') return [];
    }
  });
}
