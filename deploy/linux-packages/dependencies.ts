/** Debian's packages for the libraries that an executable asks for, with the oldest version that has what it uses. */
import { type Library, librariesOf } from './elf.ts';

/** `Depends:` of a package with this executable. @throws Error for a library or a version that the table does not know */
export function debianDependencies(executable: Buffer): string {
  const libraries = librariesOf(executable);
  // Its parts, such as libm, have versions of their own; the newest of all says which libc6 it is.
  const glibc = newest(libraries.flatMap(({ versions }) => versions));
  const others = libraries.flatMap(dependencyOf);
  return [`libc6 (>= ${glibc})`, ...others].sort().join(', ');
}

function dependencyOf({ name, versions }: Library): string[] {
  // Parts of libc6.
  if (/^(ld-linux|lib(c|dl|m|pthread|rt)\.so)/.test(name)) return [];
  if (name === 'libstdc++.so.6') return [`libstdc++6 (>= ${newestCompiler(versions)})`];
  // Called libgcc1 in Debian 10 and Ubuntu 18.04.
  if (name === 'libgcc_s.so.1') return ['libgcc-s1 | libgcc1 (>= 1:4.2)'];
  if (name === 'libatomic.so.1') return ['libatomic1 (>= 4.8)'];
  throw new Error(`no Debian package is known for ${name}: add it to deploy/linux-packages/dependencies.ts`);
}

/** GCC that brought a version of libstdc++'s symbols: GCC's manual, "ABI Policy and Guidelines". */
const COMPILERS: readonly (readonly [gcc: number, versions: readonly string[]])[] = [
  [6, ['GLIBCXX_3.4.22', 'CXXABI_1.3.10']],
  [7, ['GLIBCXX_3.4.23', 'GLIBCXX_3.4.24', 'CXXABI_1.3.11']],
  [8, ['GLIBCXX_3.4.25']],
  [9, ['GLIBCXX_3.4.26', 'GLIBCXX_3.4.27', 'GLIBCXX_3.4.28', 'CXXABI_1.3.12']],
  [11, ['GLIBCXX_3.4.29', 'CXXABI_1.3.13']],
  [12, ['GLIBCXX_3.4.30']],
  [13, ['GLIBCXX_3.4.31', 'GLIBCXX_3.4.32', 'CXXABI_1.3.14']],
];
const OLD = /^(GLIBCXX_3\.4(\.([0-9]|1[0-9]|2[01]))?|CXXABI_1\.3(\.[1-9])?)$/;

function newestCompiler(versions: readonly string[]): number {
  return Math.max(
    ...versions.map((version) => {
      const compiler = OLD.test(version) ? 5 : COMPILERS.find(([, names]) => names.includes(version))?.[0];
      if (compiler === undefined) throw new Error(`no GCC is known for ${version}: add it to dependencies.ts`);
      return compiler;
    }),
  );
}

function newest(versions: readonly string[]): string {
  const numbers = versions.flatMap((each) => /^GLIBC_([\d.]+)$/.exec(each)?.[1] ?? []);
  const last = numbers.toSorted((one, other) => one.localeCompare(other, 'en', { numeric: true })).at(-1);
  if (last === undefined) throw new Error('the executable uses no glibc');
  return last;
}
