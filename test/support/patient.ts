/** A healthy set-up with real servers and files, for tests that break one thing and then run `check`. */

import { createServer as createTcp, type Server } from 'node:net';
import { diagnose } from '../../src/check/check.ts';
import type { Finding } from '../../src/check/finding.ts';
import { findingText } from '../../src/check/text.ts';
import { shortfalls as preconditions } from '../../src/sidecar/preconditions.ts';
import { jsonLines, run } from './cli.ts';
import { startConnectProxy } from './connect-proxy.ts';
import { createFolder, type Folder } from './folder.ts';
import { startRawUpstream } from './raw.ts';
import { grant, startTokenServer, type TokenAnswerer, type TokenServer } from './token-server.ts';

/** Contained in everything that must never be printed. */
export const PLANTED = 'CANARY';
export const SECRET = `${PLANTED}-client-secret-4711`;
export const TOKEN = `${PLANTED}-opaque-token`;
export const CALLER_KEY = `${PLANTED}-caller-key-0123456789`;

// biome-ignore lint/suspicious/noExplicitAny: a configuration that is broken on purpose has no type
type Loose = Record<string, any>;

export interface Diagnosis {
  readonly code: number | null;
  readonly findings: readonly Record<string, unknown>[];
  /** Everything printed. */
  readonly output: string;
  readonly seconds: number;
}

export interface Patient extends AsyncDisposable {
  readonly folder: Folder;
  readonly identity: TokenServer;
  /** Change these before `check`. */
  readonly config: { listen: string; admin: string; credentials: Loose; routes: Loose[]; callers: Loose } & Loose;
  readonly env: Record<string, string>;
  /** Fields of the default credential and the only route. */
  readonly credential: Loose;
  readonly route: Loose;
  /** Closed at the end of the test. */
  keep<T extends { close(): unknown }>(thing: T): T;
  /** Sets the response of the token endpoint from now on. */
  answer(answerer: TokenAnswerer): void;
  /** Sets the bytes of the API's response from now on; undefined = it never responds. */
  api(bytes: string | undefined): void;
  /** Starts a proxy that responds to CONNECT with this status, and sends all https through it. Returns its port. */
  proxied(status: number | 'silent', credentials?: string): Promise<number>;
  /** Writes the current configuration, and returns the file's path. */
  write(): string;
  /** Runs `check` in this process: a new process for each set-up would take a minute in all. */
  check(): Promise<Diagnosis>;
  /** Runs `check` in the program itself. */
  run(...flags: readonly string[]): Promise<Diagnosis>;
}

const secondsSince = (startedAt: number) => (performance.now() - startedAt) / 1000;

export const http = (head: string, body = '') =>
  `HTTP/1.1 ${head}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;

export async function createPatient(): Promise<Patient> {
  const folder = createFolder();
  const identity = await startTokenServer();
  identity.answerWith(grant(TOKEN));
  let answer: string | undefined = http('204 No Content').replace('Content-Length: 0\r\n', '');
  const upstream = await startRawUpstream((socket) => void (answer !== undefined && socket.end(answer)));
  const kept: { close(): unknown }[] = [identity, upstream];
  const credential: Loose = { tokenEndpoint: identity.url, clientId: 'erp', secrets: [{ env: 'S' }], scope: 'api' };
  const route: Loose = { path: '/banking', upstream: upstream.url, allow: ['GET /**'] };
  const config = {
    listen: '127.0.0.1:0',
    admin: '127.0.0.1:0',
    credentials: { default: credential },
    routes: [route],
    callers: { keys: { erp: [{ file: folder.write('caller-key', CALLER_KEY) }] } },
  };
  const env: Record<string, string> = { S: SECRET };
  // JSON is valid YAML.
  const write = () => folder.write('config.yaml', JSON.stringify(config));
  return {
    ...{ folder, identity, config, env, credential, route, write },
    keep(thing) {
      kept.push(thing);
      return thing;
    },
    answer: (answerer) => identity.answerWith(answerer),
    api(bytes) {
      answer = bytes;
    },
    async proxied(status, credentials = '') {
      const proxy = await startConnectProxy({ target: 9, status });
      kept.push(proxy);
      env['HTTPS_PROXY'] = `http://${credentials}127.0.0.1:${proxy.port}`;
      return proxy.port;
    },
    async check() {
      const startedAt = performance.now();
      const findings: Finding[] = [];
      const onFinding = (finding: Finding) => void findings.push(finding);
      const code = await diagnose({ file: write(), env }, { upstream: true, preconditions, onFinding });
      const output = `${findings.map((one) => `${JSON.stringify(one)}\n${findingText(one)}`).join('\n')}`;
      return { code, findings: findings.map((one) => ({ ...one })), output, seconds: secondsSince(startedAt) };
    },
    async run(...flags) {
      const startedAt = performance.now();
      const { code, stdout, stderr } = await run(['check', '--config', write(), ...flags], { env, limitMs: 30_000 });
      // The last line has the next step.
      const findings = jsonLines(stdout).filter(({ level }) => level !== undefined);
      return { code, findings, output: stdout + stderr, seconds: secondsSince(startedAt) };
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(kept.map((thing) => thing.close()));
      folder[Symbol.dispose]();
    },
  };
}

/** A port that accepts connections and sends nothing, or the given bytes. */
export async function startMute(bytes = ''): Promise<{ readonly port: number; close(): void }> {
  const sockets = new Set<{ destroy(): unknown }>();
  const server: Server = createTcp((socket) => {
    sockets.add(socket.on('error', () => undefined));
    if (bytes !== '') socket.on('data', () => socket.end(bytes));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as { port: number }).port,
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** A token with these claims; its signature is not checked here. */
export function jwt(claims: Readonly<Record<string, unknown>>): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const now = Math.floor(Date.now() / 1000);
  const all = { iat: now, exp: now + 3600, scope: 'api', jti: `${PLANTED}-jti`, ...claims };
  return `${part({ alg: 'RS256', typ: 'at+jwt' })}.${part(all)}.${PLANTED}signature`;
}

export interface Setup extends Expected {
  readonly what: string;
  readonly harm: (patient: Patient) => unknown;
}

export interface Expected {
  readonly exit: number;
  readonly level?: 'error' | 'warning' | 'ok';
  /** ERRORS code; absent for a finding without a problem. */
  readonly code?: string;
  readonly cause?: string;
  readonly message: RegExp;
  readonly fix?: RegExp;
}

/** Returns what is wrong with a diagnosis; empty = it is right. */
export function misjudged({ exit, level = 'error', code, cause, message, fix }: Expected, told: Diagnosis): string[] {
  const named = told.findings.filter(
    (finding) =>
      finding['level'] === level &&
      finding['code'] === code &&
      finding['cause'] === cause &&
      message.test(String(finding['message'])) &&
      (fix === undefined || fix.test(String(finding['fix']))),
  );
  return [
    ...(told.code === exit ? [] : [`exit code ${told.code} instead of ${exit}`]),
    ...(named.length > 0 ? [] : [`no such finding in: ${told.output}`]),
    ...(/CANARY|PRIVATE KEY|eyJ/.test(told.output) ? [`something secret in: ${told.output}`] : []),
    ...(told.seconds < 25 ? [] : [`took ${told.seconds} s`]),
  ];
}
