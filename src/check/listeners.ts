/**
 * Checks whether the sidecar could listen on its addresses, and what occupies them if not. A sidecar that already runs
 * is fine: people check a set-up that is in use. Asks it only at its admin address, which neither logs nor counts
 * requests; on the data plane the question would be a caller's request.
 */
import { accessSync, constants, lstatSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { dirname } from 'node:path';
import { Pool } from 'undici';
import type { LoadedConfig } from '../config/load.ts';
import type { Address } from '../config/parsers.ts';
import { parseObject } from '../net/bounded-request.ts';
import { formatAddress } from '../net/listen.ts';
import { listenWords, MAX_SOCKET_PATH } from '../net/listen-errors.ts';
import { FINDING, type Finding, shown } from './finding.ts';
import { ask, LIMIT_MS } from './request.ts';

interface Listener {
  readonly role: 'listen' | 'admin';
  readonly address: Address;
}

/** A running sidecar, from its `/status`. */
interface Running {
  readonly admin: string;
  /** `version 1.0.0, up 12 s, ready`. */
  readonly summary: string;
  /** Its data plane addresses, `127.0.0.1:7080`. */
  readonly listen: readonly string[];
  /** File of its audit log. */
  readonly audit: unknown;
}

/** Returns the sidecars that respond at the configured admin addresses. */
export async function runningSidecars({ config }: LoadedConfig): Promise<Running[]> {
  return (await Promise.all(config.admin.map(identify))).filter((one) => one !== undefined);
}

/**
 * Returns one finding per address, in the order of the configuration. A precondition reports addresses configured
 * twice.
 */
export async function listenerFindings({ config }: LoadedConfig, running: readonly Running[]): Promise<Finding[]> {
  const listeners: Listener[] = [
    ...config.listen.map((address) => ({ role: 'listen' as const, address })),
    ...config.admin.map((address) => ({ role: 'admin' as const, address })),
  ];
  const texts = listeners.map(({ address }) => formatAddress(address));
  // Port 0 means a different free port each time.
  const isFirst = (text: string, index: number) => texts.indexOf(text) === index || text.endsWith(':0');
  const once = listeners.filter((_, index) => isFirst(texts[index] ?? '', index));
  return Promise.all(once.map((listener) => examine(listener, running)));
}

async function examine({ role, address }: Listener, running: readonly Running[]): Promise<Finding> {
  const text = formatAddress(address);
  const subject = `${role} ${text}`;
  const reason = await (address.kind === 'unix' ? whyNotUnix(address.path) : whyNotTcp(address));
  if (reason === undefined) return FINDING.ok(subject, 'free');
  if (reason === 'STALE') return FINDING.ok(subject, 'free; the sidecar will replace the old socket file');
  const isHere = ({ admin, listen }: Running) =>
    role === 'admin' ? admin === text : listen.some((one) => covers(one, address));
  const occupant = reason === 'EADDRINUSE' ? running.find(isHere) : undefined;
  if (occupant) return FINDING.ok(subject, `in use by a running sidecar: ${occupant.summary}`);
  return FINDING.error(subject, 'SIDECAR_LISTEN_FAILED', listenWords(reason, address));
}

/** Whether a listener at `theirs` occupies our address. */
function covers(theirs: string, ours: Address): boolean {
  if (ours.kind === 'unix') return theirs === formatAddress(ours);
  const names = [formatAddress(ours), `0.0.0.0:${ours.port}`, `[::]:${ours.port}`];
  return names.includes(ours.host === 'localhost' ? theirs.replace(/^(127\.0\.0\.1|\[::1\])/, 'localhost') : theirs);
}

/** Returns the system's error code; undefined when listening works. Listens for a moment. */
function whyNotTcp({ host, port }: Extract<Address, { kind: 'tcp' }>): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code ?? 'unknown'));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}

/** Creates no socket file: others could take it for a sidecar's. */
async function whyNotUnix(path: string): Promise<string | undefined> {
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH) return 'ENAMETOOLONG';
  try {
    const existing = lstatSync(path, { throwIfNoEntry: false });
    if (existing && !existing.isSocket()) return 'ENOTSOCK';
    accessSync(dirname(path), constants.W_OK | constants.X_OK);
    if (!existing) return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'unknown';
  }
  return new Promise((resolve) => {
    const probe = connect({ path });
    const say = (reason: string) => {
      probe.destroy();
      resolve(reason);
    };
    probe.once('connect', () => say('EADDRINUSE'));
    probe.once('error', ({ code }: NodeJS.ErrnoException) => say(code === 'ECONNREFUSED' ? 'STALE' : 'EADDRINUSE'));
  });
}

/** Bytes; enough for many routes and errors. */
const MAX_STATUS = 4 * 1024 * 1024;

/** Returns the sidecar with this admin address; undefined when none responds there. */
async function identify(address: Address): Promise<Running | undefined> {
  const host = address.kind === 'unix' ? 'localhost' : reachable(address);
  const pool = new Pool(`http://${host}`, address.kind === 'unix' ? { connect: { socketPath: address.path } } : {});
  try {
    const { response } = await ask(pool, {
      path: '/status',
      headers: {},
      limitMs: LIMIT_MS.listener,
      maxBytes: MAX_STATUS,
    });
    const { version, uptimeS, ready, listen, audit } = parseObject(response?.body ?? '') ?? {};
    // Something else responds here.
    if (uptimeS === undefined || version === undefined) return undefined;
    return {
      admin: formatAddress(address),
      summary: `version ${shown(version)}, up ${Number(uptimeS)} s, ${ready === true ? 'ready' : 'not ready'}`,
      audit: (audit as { file?: unknown } | undefined)?.file,
      listen: [listen].flat().map((one) => String(one).replace(/^https?:\/\//, '')),
    };
  } finally {
    await pool.destroy();
  }
}

/** A listener on all addresses is reachable on loopback. */
function reachable({ host, port }: Extract<Address, { kind: 'tcp' }>): string {
  const own = { '0.0.0.0': '127.0.0.1', '::': '::1' }[host] ?? host;
  return own.includes(':') ? `[${own}]:${port}` : `${own}:${port}`;
}
