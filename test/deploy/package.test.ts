/** The manifest tells the truth: what the source imports, what package.json states, what the bundle holds and what its SBOM lists. */
import { globSync, readFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Bundle, bundle } from '../../deploy/package/bundle.ts';
import { leaveOut } from '../../deploy/package/left-out.ts';
import { sbomText } from '../../deploy/package/sbom.ts';
import { thirdPartyText } from '../../deploy/package/third-party.ts';

const ROOT = join(import.meta.dirname, '../..');
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly private?: boolean;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
}

interface Locked extends Partial<Pick<Manifest, 'dependencies' | 'devDependencies'>> {
  readonly version: string;
  readonly integrity: string;
  readonly dev?: boolean;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const manifest = JSON.parse(read('package.json')) as Manifest;
const { packages: lock } = JSON.parse(read('package-lock.json')) as { packages: Readonly<Record<string, Locked>> };

/** The package of a specifier: `jose` of `jose/jwt/sign`; undefined for files and Node's own modules. */
function packageOf(specifier: string): string | undefined {
  if (/^[./#]/.test(specifier) || isBuiltin(specifier)) return undefined;
  return /^(?:@[\w.-]+\/)?[\w.-]+(?=\/|$)/.exec(specifier)?.[0];
}

/** All that a text imports or requires, by any syntax. */
function specifiersIn(text: string): string[] {
  const found = text.matchAll(/\b(?:from|import|require)\s*\(?\s*(['"])([^'"\n]+)\1/g);
  return [...found].map(([, , specifier = '']) => specifier);
}

function packagesIn(text: string): Set<string> {
  return new Set(specifiersIn(text).flatMap((specifier) => packageOf(specifier) ?? []));
}

const folderOf = (moduleId: string) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(moduleId)?.[0];
const nameOf = (path: string) => path.replace(/^.*node_modules\//, '');

/** Where `name` is found from the package at `path`, as Node looks for it. */
function resolve(path: string, name: string): string | undefined {
  const around = path.split(/(?<=^|\/)(?=node_modules\/)/).map((_, index, parts) => parts.slice(0, index + 1).join(''));
  const folders = ['', ...around.map((part) => `${part.replace(/\/$/, '')}/`)];
  return folders.map((folder) => `${folder}node_modules/${name}`).findLast((found) => lock[found] !== undefined);
}

/** Every package that `npm ls --omit=dev --all` lists, by its place in the lock file. */
function closure(): Set<string> {
  const found = new Set<string>();
  const visit = (path: string, { dependencies, optionalDependencies }: Partial<Locked>) => {
    for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) {
      const place = resolve(path, name);
      if (place === undefined || found.has(place)) continue;
      found.add(place);
      visit(place, lock[place] ?? {});
    }
  };
  visit('', manifest);
  return found;
}

describe('package.json', () => {
  const sources = globSync('src/**/*.ts', { cwd: ROOT }).map(read);
  const imported = new Set(sources.flatMap((text) => [...packagesIn(text)]));

  it('has what the source imports as its dependencies, no more and no less', () => {
    expect(Object.keys(manifest.dependencies).sort()).toEqual([...imported].sort());
  });

  it('is all the source knows of a package: a path into one is one that it exports', () => {
    const paths = new Set(sources.flatMap(specifiersIn).filter((name) => packageOf(name) && packageOf(name) !== name));
    for (const specifier of paths) {
      const name = packageOf(specifier) ?? '';
      const { exports = {} } = JSON.parse(read(`node_modules/${name}/package.json`)) as { exports?: object };
      const path = `.${specifier.slice(name.length)}`;
      const isExported = Object.keys(exports).some((exported) => {
        // Unlike in a glob, the star also stands for slashes.
        const [begin = '', end] = exported.split('*');
        return end === undefined ? path === exported : path.startsWith(begin) && path.endsWith(end);
      });
      expect([specifier, isExported]).toEqual([specifier, true]);
    }
    expect(sources.filter((text) => /\.prototype\b|setPrototypeOf/.test(text))).toEqual([]);
  });

  it('pins every package to one version, which is the one in the lock file', () => {
    for (const [name, version] of Object.entries({ ...manifest.dependencies, ...manifest.devDependencies })) {
      expect([name, version]).toEqual([name, expect.stringMatching(/^\d+\.\d+\.\d+$/)]);
      expect([name, lock[`node_modules/${name}`]?.version]).toEqual([name, version]);
    }
    const { dependencies, devDependencies } = lock[''] ?? {};
    expect({ dependencies, devDependencies }).toEqual({
      dependencies: manifest.dependencies,
      devDependencies: manifest.devDependencies,
    });
  });

  it('cannot be published: what is published is made from it', () => {
    expect(manifest.private).toBe(true);
  });
});

describe('package-lock.json', () => {
  it('holds every package to a checksum and names no host it comes from', () => {
    const { '': _own, ...others } = lock;
    const loose = Object.entries(others).filter(([, { integrity }]) => !/^sha512-/.test(integrity ?? ''));
    expect(loose.map(([path]) => path)).toEqual([]);
    expect(read('package-lock.json')).not.toContain('"resolved"');
  });

  it('marks exactly what no dependency leads to as for development', () => {
    const forProduction = Object.entries(lock).filter(([path, { dev }]) => path !== '' && dev !== true);
    const optional = forProduction.filter(([path]) => !closure().has(path)).map(([path]) => path);
    expect(optional).toEqual([]);
  });
});

describe('the bundle', () => {
  let made: Bundle;
  let inside: Set<string>;
  beforeAll(async () => {
    made = await bundle('many');
    inside = new Set(made.packages.map((folder) => folder.slice(ROOT.length + 1)));
  });

  it('holds packages that a dependency leads to, and every dependency', () => {
    const all = closure();
    expect([...inside].filter((path) => !all.has(path))).toEqual([]);
    const names = new Set([...inside].map(nameOf));
    expect(Object.keys(manifest.dependencies).filter((name) => !names.has(name))).toEqual([]);
  });

  // What of the closure is not in the bundle is not there for one of two reasons and no other.
  it('lacks only packages that a stub stands for or that no module inside asks for', () => {
    const isReplaced = leaveOut().has;
    const asked = new Set(
      made.modules.flatMap((moduleId) => {
        const path = (folderOf(moduleId) ?? '').slice(ROOT.length + 1);
        return [...packagesIn(readFileSync(moduleId, 'utf8'))].flatMap((name) => resolve(path, name) ?? []);
      }),
    );
    const lacking = [...closure()].filter((path) => !inside.has(path));
    const replaced = lacking.filter((path) => isReplaced(`${ROOT}/${path}/`));
    expect(replaced.length).toBeGreaterThan(0);
    expect(lacking.filter((path) => asked.has(path))).toEqual(replaced);
  });

  it('is what its SBOM lists, at the versions and checksums of the lock file', () => {
    const bom = JSON.parse(sbomText(made.packages)) as {
      metadata: { component: { name: string; version: string } };
      components: { 'bom-ref': string; name: string; version: string; hashes: { alg: string; content: string }[] }[];
      dependencies: { ref: string; dependsOn: string[] }[];
    };
    const listed = bom.components.map(({ name, version, hashes: [hash] }) => ({ name, version, hash: hash?.content }));
    const held = [...inside].map((path) => ({
      name: nameOf(path),
      version: lock[path]?.version,
      hash: Buffer.from(lock[path]?.integrity.replace('sha512-', '') ?? '', 'base64').toString('hex'),
    }));
    expect(listed).toEqual(held);
    expect(bom.metadata.component).toMatchObject({ name: manifest.name, version: manifest.version });

    const refs = bom.components.map((component) => component['bom-ref']);
    expect(bom.dependencies.map(({ ref }) => ref)).toEqual([`${manifest.name}@${manifest.version}`, ...refs]);
    expect(bom.dependencies.flatMap(({ dependsOn }) => dependsOn).filter((ref) => !refs.includes(ref))).toEqual([]);
    const direct = Object.entries(manifest.dependencies).map(([name, version]) => `${name}@${version}`);
    expect(bom.dependencies[0]?.dependsOn.sort()).toEqual(direct.sort());
  });

  it('comes with the licences of what its SBOM lists', () => {
    const text = thirdPartyText(made.packages);
    for (const path of inside) expect(text).toContain(`\n- ${nameOf(path)} ${lock[path]?.version} (`);
    expect(text.split(/^={100}$/m).length).toBe(2 * inside.size + 1);
  });

  it('has the client of the fleet store in a chunk that nothing loads before a fleet is configured', () => {
    const isOfFleet = (moduleId: string) => /node_modules\/(@?ioredis)\/|\/src\/fleet\//.test(moduleId);
    const ofFleet = made.chunks.filter(({ moduleIds }) => moduleIds.some(isOfFleet));
    expect(ofFleet.length).toBeGreaterThan(0);
    const packages = ofFleet.flatMap(({ moduleIds }) => moduleIds.map((id) => nameOf(folderOf(id) ?? '')));
    for (const name of [
      'ioredis',
      '@ioredis/commands',
      'cluster-key-slot',
      'denque',
      'redis-errors',
      'standard-as-callback',
    ])
      expect(packages).toContain(name);
    const names = new Set(ofFleet.map(({ fileName }) => fileName));
    const codeOf = new Map(made.chunks.map(({ fileName, code }) => [fileName, code]));
    const atOnce = (file: string) =>
      [...(codeOf.get(file) ?? '').matchAll(/^(?:const [\w$]+ = )?require\(["']\.\/([^"']+)["']\)/gm)].map(
        ([, name = '']) => name,
      );
    // What the program loads for sure, and what `serve` loads without a fleet: all but what imports parts of it.
    const lazily = made.chunks.filter(({ moduleIds }) =>
      moduleIds.some((id) => /\/src\/(?:(?:check|cli)\/fleet|sidecar\/fleet\/)/.test(id)),
    );
    expect(lazily.length).toBeGreaterThan(0);
    expect(atOnce('main.js')).not.toHaveLength(0);
    for (const { fileName } of lazily) names.add(fileName);
    for (const { fileName } of made.chunks.filter((chunk) => !names.has(chunk.fileName)))
      expect([fileName, atOnce(fileName).filter((file) => names.has(file))]).toEqual([fileName, []]);
  });

  it('makes the same SBOM each time', () => {
    expect(sbomText(made.packages)).toBe(sbomText(made.packages));
    expect(sbomText(made.packages)).not.toMatch(/timestamp|serialNumber|https?:\/\/(?!cyclonedx\.org\/)/);
  });
});

describe('deploy/package/left-out', () => {
  it('fails the build when there is nothing any more to leave out', () => {
    const rows = [{ package: 'undici', part: 'lib/renamed/', stub: '' }];
    const leftOut = leaveOut(rows);
    expect(leftOut.unused()).toEqual(['/node_modules/undici/lib/renamed/']);
    expect(leftOut.has('/any/node_modules/undici/lib/renamed/file.js')).toBe(true);
    expect(leftOut.has('C:\\any\\node_modules\\undici\\lib\\renamed\\file.js')).toBe(true);
    expect(leftOut.has('/any/node_modules/undici/lib/other.js')).toBe(false);
  });
});
