/**
 * Findings about the configuration itself: problems, and settings that work but should change.
 */
import type { LoadedConfig } from '../config/load.ts';
import type { Problem } from '../config/problems.ts';
import { FINDING, type Finding } from './finding.ts';

/** Returns a finding for each problem of a configuration that could not be loaded. */
export function problemFindings(problems: readonly Problem[]): Finding[] {
  return problems.map(({ where, path, message }) =>
    FINDING.error(`configuration ${where}`, 'CONFIG_INVALID', {
      cause: 'configuration_invalid',
      message: `${path} ${message}`.trim(),
      fix: adviceFor(message, FIXES) ?? 'correct it; `aritma-sidecar config schema` prints what is allowed',
    }),
  );
}

/** Returns the findings of a loaded configuration, without file modes: `fileFindings` reports those. */
export function configurationFindings({ file, warnings }: LoadedConfig): Finding[] {
  const from = file === undefined ? 'environment, flags and presets' : file;
  const others = warnings.filter((message) => !message.startsWith('secret file '));
  return [
    FINDING.ok('configuration', `valid, from ${from}`),
    ...others.map((message) =>
      FINDING.warning('configuration', 'CONFIG_INVALID', {
        cause: 'configuration_advice',
        message,
        fix: adviceFor(message, ADVICE) ?? 'see this option in docs/configuration.md',
      }),
    ),
  ];
}

type Advice = readonly (readonly [pattern: RegExp, fix: string])[];

function adviceFor(message: string, table: Advice): string | undefined {
  return table.find(([pattern]) => pattern.test(message))?.[1];
}

const FIXES: Advice = [
  [/^the program\b/, 'run it as the sidecar’s user with the same arguments: it must print the secret and nothing else'],
  [/symbolic link/, 'create the file the link points to, or correct the link; `readlink -f` shows its target'],
  [/\(ENOENT\)/, 'create the file, or correct its path; relative paths start at the working directory'],
  [/\((EACCES|EPERM)\)/, 'make it readable for the user that runs the sidecar: chown it to that user, chmod 600'],
  [
    /empty or not set/,
    'put the secret there; in a container, check that the secret is mounted or the variable is passed',
  ],
  [
    /does not belong to/,
    'use the key that belongs to the certificate: `openssl x509 -pubkey` and `openssl pkey -pubout` must print the same',
  ],
  [
    /\bis encrypted\b/,
    'decrypt it with the command above into a file that only the sidecar’s user can read (chmod 600)',
  ],
  [
    /is (?:a pipe|a device|a socket)|is larger than/,
    'name a regular file; write what a program prints to a file first',
  ],
  [
    /block \d+ |no certificate|no private key|cannot be used together|is binary|is UTF-16|^\S+ .*is empty$/,
    'use PEM files (they begin with -----BEGIN): CA, certificate chain, and its unencrypted key',
  ],
  [/unknown option/, 'correct its spelling, or remove it'],
  [/line breaks or characters/, 'put only the value there, in ASCII, on one line'],
  [/is required/, 'add it; `aritma-sidecar config schema` prints what is allowed'],
];

const ADVICE: Advice = [
  [
    /^the secret of /,
    'put only the value there, with nothing before, after or around it; if this is the real value, ignore this warning',
  ],
  [/allow-list/, 'list under the route’s `allow` what the calling program needs, such as "GET /accounts/**"'],
  [/callers\.keys/, 'give every calling program a key under `callers.keys`, or listen on unix:/path'],
  [/callers\.tls/, 'set callers.tls.cert and callers.tls.key'],
];
