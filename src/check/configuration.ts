/**
 * What is wrong with the configuration itself, or works but should not stay so.
 */
import type { LoadedConfig } from '../config/load.ts';
import type { Problem } from '../config/problems.ts';
import { FINDING, type Finding } from './finding.ts';

/** Of a configuration that could not be loaded: all its problems at once. */
export function problemFindings(problems: readonly Problem[]): Finding[] {
  return problems.map(({ where, path, message }) =>
    FINDING.error(`configuration ${where}`, 'CONFIG_INVALID', {
      cause: 'configuration_invalid',
      message: `${path} ${message}`.trim(),
      fix: adviceFor(message, FIXES) ?? 'correct this place; `aritma-sidecar config schema` prints what is allowed',
    }),
  );
}

/** Of one that could. File modes have findings of their own. */
export function configurationFindings({ file, warnings }: LoadedConfig): Finding[] {
  const from = file === undefined ? 'environment, flags and presets' : file;
  const others = warnings.filter((message) => !message.startsWith('secret file '));
  return [
    FINDING.ok('configuration', `valid, from ${from}`),
    ...others.map((message) =>
      FINDING.warning('configuration', 'CONFIG_INVALID', {
        cause: 'configuration_advice',
        message,
        fix: adviceFor(message, ADVICE) ?? 'see docs/configuration.md about this option',
      }),
    ),
  ];
}

type Advice = readonly (readonly [pattern: RegExp, fix: string])[];

function adviceFor(message: string, table: Advice): string | undefined {
  return table.find(([pattern]) => pattern.test(message))?.[1];
}

const FIXES: Advice = [
  [/symbolic link/, 'create the file it points to, or point it to the right one: `readlink -f` shows where it leads'],
  [/\(ENOENT\)/, 'create the file, or correct its path; relative paths start at the working directory'],
  [/\((EACCES|EPERM)\)/, 'let the user that runs the sidecar read it: chown it to that user, chmod 600'],
  [
    /empty or not set/,
    'put the secret there; in a container, check that the secret is mounted or the variable passed on',
  ],
  [
    /does not belong to/,
    'put the key next to the certificate it was made for: `openssl x509 -pubkey` and `openssl pkey -pubout` must agree',
  ],
  [
    /\bis encrypted\b/,
    'decrypt it with the command above into a file that only the sidecar’s user can read (chmod 600)',
  ],
  [
    /is (?:a pipe|a device|a socket)|is larger than/,
    'name the file itself; what a program prints has to be written to a file first',
  ],
  [
    /block \d+ |no certificate|no private key|cannot be used together|holds no PEM|is binary|is UTF-16|^\S+ .*is empty$/,
    'give PEM files (they begin with -----BEGIN): CA, certificate chain, and its unencrypted key',
  ],
  [/unknown option/, 'correct its spelling or take it out'],
  [/line breaks or characters/, 'put the value alone there, in ASCII and on one line'],
  [/is required/, 'add it; `aritma-sidecar config schema` prints what is allowed'],
];

const ADVICE: Advice = [
  [
    /^the secret of /,
    'put the value alone there, without anything before, behind or around it; if it is meant so, all is well',
  ],
  [/allow-list/, 'list under the route’s `allow` what the calling program needs, such as "GET /accounts/**"'],
  [/callers\.keys/, 'give every calling program a key under `callers.keys`, or listen on unix:/path'],
  [/callers\.tls/, 'set callers.tls.cert and callers.tls.key'],
];
