/**
 * Connects to a server step by step as the sidecar does: DNS, proxy, TCP, TLS. Sends only the handshake, so it can also
 * examine a server that is not trusted.
 */
import { lookup } from 'node:dns/promises';
import { BlockList, connect as connectTcp, isIP, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls, type DetailedPeerCertificate, type TLSSocket } from 'node:tls';
import type { LoadedConfig } from '../config/load.ts';
import { type BaseUrl, isLoopback } from '../config/parsers.ts';
import type { Words } from '../core/failure.ts';
import type { Secret } from '../core/secret.ts';
import { within } from '../net/bounded-request.ts';
import { failureWords } from '../net/connection-errors.ts';
import { createTunnels, proxyFor } from '../net/outbound-proxy.ts';
import { type Leg, type Place, placeOf, portOf } from '../net/place.ts';

import { LIMIT_MS } from './request.ts';
import { expiry, refusal, validity } from './server-certificate.ts';

/** ms for one step. Less than the whole limit, so that a step that hangs fails by itself and the finding names it. */
const STEP_MS = LIMIT_MS.network - 500;

export type Connection =
  | { readonly failed: Words; readonly summary?: never }
  | {
      readonly failed?: never;
      /** `through the proxy p:3128, TLSv1.3, certificate by "R11" until 2027-01-31`. */
      readonly summary: string;
      readonly warning: Words | undefined;
    };

/** Opens and closes one connection within 4 s. Never throws. */
export async function tryConnection(leg: Leg, loaded: LoadedConfig): Promise<Connection> {
  const place = placeOf(leg, loaded, LIMIT_MS.network);
  const failed = (error: unknown): Connection => ({ failed: failureWords(error, place) });
  const silence = { code: 'ETIMEDOUT' };
  const progress = { connected: false };
  const connection = await within(LIMIT_MS.network, connect(leg, { loaded, place, progress }).catch(failed), () => {
    if (progress.connected) return { failed: failureWords(silence, { ...place, stage: 'handshake' }) };
    return failed(place.proxy === undefined ? silence : { code: 'PROXY_TUNNEL', cause: silence });
  });
  if (!connection.failed || !isBypassed(leg.base, loaded)) return connection;
  const { message, fix, ...words } = connection.failed;
  return {
    failed: {
      ...words,
      message: `${message}; the connection was direct because of NO_PROXY`,
      fix: `${fix}; if the host is reachable only through the proxy, remove it from NO_PROXY`,
    },
  };
}

interface Context {
  readonly loaded: LoadedConfig;
  readonly place: Place;
  /** Updated on the way: when time runs out, it tells which step hangs. */
  readonly progress: { connected: boolean };
}

async function connect(leg: Leg, { loaded, place, progress }: Context): Promise<Connection> {
  const { base } = leg;
  const proxy = proxyFor(base, loaded.proxy);
  const found = proxy ? [] : await resolve(base.hostname);
  const addresses = found.length === 0 ? '' : ` (${found.join(', ')})`;
  const opened = await open(base, proxy).catch((error: unknown) => ({
    failed: failureWords(error, { ...place, addresses }),
  }));
  if ('failed' in opened) return opened;
  const socket = opened;
  progress.connected = true;
  try {
    const way = proxy
      ? `through the proxy ${place.proxy}`
      : `${directly(base, loaded)}${found[0] === undefined ? '' : ` at ${found[0]}`}`;
    if (!base.secure) return { summary: `${way}, without TLS`, warning: undefined };
    return await shakeHands(socket, { leg, loaded, way });
  } finally {
    socket.destroy();
  }
}

function directly(base: BaseUrl, loaded: LoadedConfig): string {
  return isBypassed(base, loaded) ? 'directly because of NO_PROXY' : 'directly';
}

/** Whether NO_PROXY excludes this host from a configured proxy. Loopback never uses a proxy. */
function isBypassed(base: BaseUrl, { proxy }: LoadedConfig): boolean {
  const set = base.secure ? proxy?.https : proxy?.http;
  return set !== undefined && !isLoopback(base.hostname) && proxyFor(base, proxy) === undefined;
}

const PRIVATE = new BlockList();
for (const [net, bits] of [
  ['10.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  ['100.64.0.0', 10],
] as const) {
  PRIVATE.addSubnet(net, bits, 'ipv4');
}
PRIVATE.addSubnet('fc00::', 7, 'ipv6');

/**
 * Returns the first address of a name, then notes that help to understand a failure (private, one IP version only).
 * @throws the resolver's error
 */
async function resolve(hostname: string): Promise<string[]> {
  if (isIP(hostname.replace(/^\[(.*)\]$/, '$1')) || isLoopback(hostname)) return [];
  const late = () => {
    throw Object.assign(new Error('no response from DNS'), { code: 'EDNS_TIMEOUT' });
  };
  const found = await within(STEP_MS, lookup(hostname, { all: true }), late);
  const [first = { address: '', family: 0 }] = found;
  const isPrivate = PRIVATE.check(first.address, first.family === 6 ? 'ipv6' : 'ipv4');
  const only = [4, 6].find((version) => found.every(({ family }) => family === version));
  return [first.address, ...(isPrivate ? ['a private address'] : []), ...(only ? [`IPv${only} only`] : [])];
}

function open(base: BaseUrl, proxy: Secret | undefined): Promise<Socket> {
  const host = base.hostname.replace(/^\[(.*)\]$/, '$1');
  return new Promise((done, reject) => {
    if (!proxy) {
      const socket = connectTcp({ host, port: portOf(base) });
      socket.once('connect', () => done(socket)).once('error', reject);
      // This limit is for connecting only; the limit of the whole covers the rest.
      socket.once('connect', () => void socket.setTimeout(0));
      socket.setTimeout(STEP_MS, () => socket.destroy(Object.assign(new Error(), { code: 'ETIMEDOUT' })));
      return;
    }
    // The sidecar's own code, but it hands out the tunnel before TLS begins in it.
    const tunnels = createTunnels(proxy, ({ httpSocket }, ready) => ready(null, httpSocket as Socket), STEP_MS);
    const target = { hostname: base.hostname, port: String(portOf(base)), protocol: base.secure ? 'https:' : 'http:' };
    tunnels.connect(target, (...[error, socket]) => {
      if (socket) done(socket);
      else reject(error);
      void tunnels.destroy();
    });
  });
}

/**
 * ms. In TLS 1.3, a server that requires a client certificate rejects the connection one round trip after the handshake
 * (RFC 8446 §4.4.2.4). Nearly all others send a session ticket then. Without either, wait this long.
 */
const AFTERTHOUGHT_MS = 1000;

interface Handshake {
  readonly leg: Leg;
  readonly loaded: LoadedConfig;
  readonly way: string;
}

async function shakeHands(socket: Socket, { leg, loaded, way }: Handshake): Promise<Connection> {
  const { base, owner } = leg;
  const files = loaded.tls.get(owner) ?? {};
  const host = base.hostname.replace(/^\[(.*)\]$/, '$1');
  const tls = await handshake({
    ...files,
    socket,
    host,
    ...(!isIP(host) && { servername: host }),
    // Examining a certificate needs no trust: nothing but the handshake is sent.
    rejectUnauthorized: false,
  });
  const certificate: DetailedPeerCertificate = tls.getPeerCertificate(true);
  const presented = { certificate, host, hasOwnCa: files.ca !== undefined, now: Date.now() };
  const protocol = tls.getProtocol();
  // Typed as an Error, but Node sets a code.
  const reason = String(tls.authorizationError);
  const authorized = tls.authorized;
  if (!authorized) return { failed: refusal(reason, presented) };
  await untilSettled(tls);
  return { summary: `${way}, ${protocol}, ${validity(certificate)}`, warning: expiry(presented) };
}

function handshake(options: ConnectionOptions): Promise<TLSSocket> {
  return new Promise((done, reject) => {
    const tls = connectTls(options);
    tls.once('secureConnect', () => done(tls));
    tls.on('error', reject).once('close', () => reject(Object.assign(new Error(), { code: 'ECONNRESET' })));
    options.socket?.once('error', reject);
  });
}

/** Rejects when the server closes the connection right after the handshake. */
function untilSettled(tls: TLSSocket): Promise<void> {
  return new Promise((done, reject) => {
    const timer = setTimeout(done, AFTERTHOUGHT_MS);
    const ended = (error: unknown) => {
      clearTimeout(timer);
      reject(error);
    };
    const settled = () => {
      clearTimeout(timer);
      done();
    };
    tls
      .once('session', settled)
      .once('error', ended)
      .once('close', () => ended(Object.assign(new Error(), { code: 'CLOSED_AFTER_HANDSHAKE' })));
    tls.resume();
  });
}
