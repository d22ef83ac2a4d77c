// Node's own options and variables: which the sidecar runs under, which it refuses, and how it reads them.
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { NODE_FLAGS } from '../../deploy/executable/targets.ts';
import { refuseEnvironment } from '../../src/config/environment.ts';
import { refuseNodeOptions } from '../../src/config/node-options.ts';

const ROOT = join(import.meta.dirname, '../..');
const ESCAPE = String.fromCodePoint(27);
const byVariable = (options: string) => refuseNodeOptions(options, []).map(({ message }) => message);
const byArgument = (...options: readonly string[]) => refuseNodeOptions('', options).map(({ message }) => message);

describe('config/node-options', () => {
  it.each([
    '--max-old-space-size=192 --max-semi-space-size=4 --expose-gc --v8-pool-size=0',
    '--enable-source-maps --disable-warning=ExperimentalWarning --no-warnings --no-deprecation --trace-warnings',
    '--disable-warning PERM0002 --dns-result-order ipv4first --title bank',
    '--use-system-ca --use-openssl-ca --tls-min-v1.3 --no-network-family-autoselection',
    '--cpu-prof --cpu-prof-dir=/tmp/profile --heap-prof',
    '--max_old_space_size=192 "--title=the one for Oslo" --redirect-warnings="C:\\\\logs\\\\node warnings.txt"',
    '--redirect-warnings=C:\\logs\\node.txt --no-experimental-websocket',
    '',
    '   ',
  ])('takes %s', (options) => {
    expect([byVariable(options), byArgument(...options.split(' '))]).toEqual([[], []]);
  });

  it.each([
    ['--insecure-http-parser', /ambiguous HTTP/],
    ['--insecure_http_parser', /ambiguous HTTP/],
    ['--max-old-space-size=9 --inspect', /debugger/],
    ['--inspect-brk=0.0.0.0:9229', /debugger/],
    ['"--inspect"', /debugger/],
    ['--in"spec"t', /debugger/],
    ['"--in\\spect"', /debugger/],
    ['--debug-port=0', /debugger/],
    ['--permission --allow-inspector', /debugger/],
    ['--report-on-signal', /to a file/],
    ['--report-uncaught-exception --report-signal=SIGHUP', /to a file/],
    ['--heapsnapshot_signal=SIGUSR2', /to a file/],
    ['--heapsnapshot-near-heap-limit=1', /to a file/],
    ['--abort-on-uncaught-exception', /to a file/],
    ['--require ./agent.cjs', /foreign code/],
    ['-r ./agent.cjs', /foreign code/],
    ['--import=data:text/javascript,1', /foreign code/],
    ['--experimental-loader x', /foreign code/],
    ['--tls-keylog=/tmp/keys', /secret/],
    ['--trace-tls', /secret/],
    ['--tls-cipher-list=ALL@SECLEVEL=0', /TLS/],
    ['--tls-min-v1.0', /TLS/],
    ['--openssl-config=/etc/x', /TLS/],
    ['--no-permission', /protection/],
    ['--no-report-exclude-env', /protection/],
    ['--use-env-proxy', /known/],
    ['--unhandled-rejections=none', /known/],
    ['--max-http-header-size=1', /known/],
    ['--something-of-node-30', /known/],
  ])('refuses %s, and says why and which', (options, reason) => {
    const messages = byVariable(options);
    expect(messages.length).toBeGreaterThan(0);
    expect(messages.join()).toMatch(reason);
    for (const message of messages) expect(message).toMatch(/^--?[a-z]/);
    if (!/["\\]/.test(options)) expect(byArgument(...options.split(' '))).toEqual(messages);
  });

  it('never quotes what is behind an option’s name', () => {
    const options = `--require=/CANARY --import CANARY --title "CANARY --CANARY" "--x${ESCAPE}[2J=1"`;
    expect(byVariable(options).join()).not.toContain('CANARY');
    expect(byVariable(options).join()).not.toContain(ESCAPE);
    expect(byVariable(options)).toHaveLength(3);
  });

  it('says where each was found', () => {
    expect(refuseNodeOptions('--inspect', ['--import', 'x']).map(({ where }) => where)).toEqual([
      'environment variable NODE_OPTIONS',
      'arguments of node',
    ]);
  });

  it('decides for every option that this Node takes from NODE_OPTIONS: refused unless it is on the list', () => {
    const accepted = [...process.allowedNodeEnvironmentFlags].filter((flag) => byVariable(flag).length === 0);
    const secrets =
      /inspect|report-(on|unc|sig)|heapsnapshot|keylog|insecure|require$|import$|loader|trace-(tls|env)|openssl-(config|leg|sha)/;
    expect(
      accepted.filter((flag) => secrets.test(flag)).filter((flag) => !flag.startsWith('--no-experimental-')),
    ).toEqual([]);
    expect(accepted.length).toBeGreaterThan(60);
    expect(accepted.length).toBeLessThan(process.allowedNodeEnvironmentFlags.size / 2);
  });

  it('takes every option that the launchers of this repository give', () => {
    const files = [
      'Dockerfile',
      'docs/security.md',
      'docs/operations.md',
      ...globSync('deploy/**/*.{service,conf,yaml,md,xml,ps1,sh}', { cwd: ROOT }),
    ];
    const given = files.flatMap((file) =>
      [...readFileSync(join(ROOT, file), 'utf8').matchAll(/NODE_OPTIONS[^-\n`]*?\n?[^-\n`]*(--[^\n"`]*)/g)].map(
        ([, text = '']) => [file, text.replaceAll('MIB', '192').replaceAll('…', '192').replaceAll('\\', ' ')],
      ),
    );
    expect(given.length).toBeGreaterThan(8);
    expect(given.flatMap(([file, text = '']) => byVariable(text).map((message) => `${file}: ${message}`))).toEqual([]);
    const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };
    const launched = Object.values(scripts).flatMap(
      (script) => /^node (.*)src\/main\.ts/.exec(script)?.[1]?.split(' ') ?? [],
    );
    expect(byArgument(...NODE_FLAGS, ...launched)).toEqual([]);
  });
});

describe('config/environment', () => {
  const refused = (env: Readonly<Record<string, string>>) => refuseEnvironment(env, []).map(({ where }) => where);

  it.each([
    ['SSLKEYLOGFILE', '/tmp/keys'],
    ['NODE_DEBUG', 'http'],
    ['NODE_DEBUG_NATIVE', 'HTTP2'],
    ['NODE_TLS_REJECT_UNAUTHORIZED', '0'],
    ['OPENSSL_CONF', '/etc/other.cnf'],
    ['OPENSSL_MODULES', '/tmp'],
  ])('refuses %s', (name, value) => {
    expect([refused({ [name]: value }), refused({ [name]: '' })]).toEqual([[`environment variable ${name}`], []]);
  });

  it.each([
    ['NODE_TLS_REJECT_UNAUTHORIZED', '1'],
    ['NODE_PATH', '/usr/share/nodejs'],
    ['LD_PRELOAD', '/usr/lib/libjemalloc.so'],
    ['SSL_CERT_FILE', '/etc/ssl/cert.pem'],
    ['NODE_USE_SYSTEM_CA', '1'],
    ['NODE_NO_WARNINGS', '1'],
    ['NODE_V8_COVERAGE', '/tmp/coverage'],
    ['UV_THREADPOOL_SIZE', '2'],
  ])('takes %s=%s', (name, value) => {
    expect(refused({ [name]: value })).toEqual([]);
  });
});
