/**
 * Options of Node that the process may run with: those known not to weaken the security of the sidecar. All others are
 * refused, so that options of later Node versions are reviewed first. This protects against mistakes, not against an
 * attacker: whoever sets these options could also start another program.
 */
import type { Problem } from './problems.ts';

/** Names without dashes and without a leading `no-`. */
const HARMLESS = new Set(
  `
  max-old-space-size max-old-space-size-percentage max-semi-space-size min-semi-space-size semi-space-growth-factor
  max-heap-size initial-heap-size initial-old-space-size optimize-for-size lite-mode maglev opt single-threaded
  single-threaded-gc expose-gc trace-gc v8-pool-size node-snapshot worker-snapshot secure-heap secure-heap-min
  zero-fill-buffers disable-wasm-trap-handler use-largepages async-context-frame
  warnings disable-warning redirect-warnings deprecation trace-warnings trace-deprecation throw-deprecation
  pending-deprecation enable-source-maps stack-trace-limit extra-info-on-fatal-exception trace-exit trace-sigint
  trace-sync-io title diagnostic-dir icu-data-dir env-file env-file-if-exists
  cpu-prof cpu-prof-dir cpu-prof-interval cpu-prof-name heap-prof heap-prof-dir heap-prof-interval heap-prof-name
  perf-basic-prof perf-basic-prof-only-functions interpreted-frames-native-stack
  dns-result-order network-family-autoselection enable-network-family-autoselection
  network-family-autoselection-attempt-timeout use-system-ca use-openssl-ca use-bundled-ca
  permission permission-audit allow-addons allow-child-process allow-ffi allow-fs-read allow-fs-vfs allow-fs-write
  allow-net allow-openssl-store allow-wasi allow-worker disable-sigusr1 disable-proto
  report-exclude-env report-exclude-network report-compact report-dir report-directory report-filename
  disallow-code-generation-from-strings addons force-context-aware global-search-paths preserve-symlinks
  preserve-symlinks-main require-module strip-types experimental-strip-types
  tls-min-v1.2 tls-min-v1.3 tls-max-v1.2 tls-max-v1.3 enable-fips force-fips
`
    .trim()
    .split(/\s+/),
);
/** Options that turn off a protection. */
const PROTECTIONS = /^no-(permission|report-exclude|disable-sigusr1|tls-|disallow|zero-fill|(enable|force)-fips)/;

/** Why an option is refused. */
const REASONS: readonly (readonly [option: RegExp, reason: string])[] = [
  [/^(inspect|debug-port|allow-inspector|experimental-.*inspection)/, 'opens a debugger that can read tokens'],
  [/^(heapsnapshot|report-|abort-on-|track-heap|trace-event)/, 'writes process memory or state to a file'],
  [
    /^(require|r|import|loader|experimental-loader|snapshot-blob|vfs-)/,
    'loads foreign code into the process with the tokens',
  ],
  [/^insecure-http-parser/, 'accepts ambiguous HTTP messages (RFC 9112 §11.2)'],
  [/^(tls-keylog|trace-tls|trace-env)/, 'prints values that must stay secret'],
  [/^(no-)?(tls-|openssl)/, 'changes TLS security'],
  [PROTECTIONS, 'turns off a protection'],
];

/**
 * Returns a problem for each option of Node that is not known to be harmless; never quotes a value.
 * @param nodeOptions the variable NODE_OPTIONS
 * @param nodeArguments the arguments between `node` and the program
 */
export function refuseNodeOptions(nodeOptions: string, nodeArguments: readonly string[]): Problem[] {
  const problems = (where: string, words: readonly string[]) =>
    optionsIn(words).flatMap((option) => {
      const message = refusal(option);
      return message === undefined ? [] : [{ where, path: '', message }];
    });
  return [
    ...problems('environment variable NODE_OPTIONS', wordsOf(nodeOptions)),
    ...problems('arguments of node', nodeArguments),
  ];
}

/** Splits as Node does: at spaces, except in double quotes, where a backslash escapes. */
function wordsOf(text: string): string[] {
  const words = text.match(/(?:[^ "]|"(?:[^"\\]|\\.)*"?)+/gs) ?? [];
  return words.map((word) =>
    word.replace(/"((?:[^"\\]|\\.)*)"?/gs, (_, inner: string) => inner.replace(/\\(.)/gs, '$1')),
  );
}

/** Returns option names as Node compares them. A word without a dash is the value of the option before it. */
function optionsIn(words: readonly string[]): string[] {
  const options = words.filter((word) => word.startsWith('-'));
  return options.map((word) => word.replace(/=.*$/s, '').replaceAll('_', '-'));
}

function refusal(option: string): string | undefined {
  const name = option.replace(/^--?/, '');
  const isHarmless = HARMLESS.has(name.replace(/^no-/, '')) || name.startsWith('no-experimental-');
  if (isHarmless && !PROTECTIONS.test(name)) return undefined;
  const [, reason = 'is not known to be safe'] = REASONS.find(([pattern]) => pattern.test(name)) ?? [];
  return `${/^[\w.-]{1,60}$/.test(option) ? option : 'an option'} ${reason}; remove it`;
}
