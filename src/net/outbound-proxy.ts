/**
 * The company's proxy on the way out: whether it applies to an origin, and a connection through it. Only ever by CONNECT,
 * so that it sees neither secret nor token, not even of plain-text upstreams (RFC 9110 §9.3.6).
 */
import { BlockList, isIP, type Socket } from 'node:net';
import { type buildConnector, Pool } from 'undici';
import type { ProxySettings } from '../config/environment.ts';
import { type BaseUrl, isLoopback } from '../config/parsers.ts';
import type { Secret } from '../core/secret.ts';

/** The proxy to use for that origin; undefined = connect directly. Never for this machine, whatever the variables say. */
export function proxyFor(base: BaseUrl, settings: ProxySettings | undefined): Secret | undefined {
  const proxy = base.secure ? settings?.https : settings?.http;
  if (!proxy || isLoopback(base.hostname)) return undefined;
  const bypassed = (settings?.noProxy ?? '')
    .split(/[\s,]+/)
    .filter(Boolean)
    .some((entry) => isCovered(entry.toLowerCase(), base));
  return bypassed ? undefined : proxy;
}

/** `proxy:3128`, for people: never the user or the password. */
export function proxyHost(proxy: Secret): string {
  return new URL(proxy.reveal()).host;
}

const HOST_AND_PORT = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/;

/** One NO_PROXY entry as curl and Go read them: `*`, `host` and everything below it, `.domain`, IP, CIDR, with `:port`. */
function isCovered(entry: string, { origin, hostname, secure }: BaseUrl): boolean {
  if (entry === '*') return true;
  // An IPv6 address without brackets has no port behind it.
  const [, bracketed, plain, port] = isAddress(entry) ? [] : (HOST_AND_PORT.exec(entry) ?? []);
  if (port !== undefined && port !== (new URL(origin).port || (secure ? '443' : '80'))) return false;
  const name = bracketed ?? plain ?? entry;
  const host = hostname.replace(/^\[(.*)\]$/, '$1');
  if (isIP(host)) return isSameNetwork(name, host);
  const domain = name.replace(/^\*?\./, '').replace(/\.$/, '');
  return host === domain || host.endsWith(`.${domain}`);
}

function isAddress(entry: string): boolean {
  return isIP(entry.replace(/\/.*$/, '')) !== 0;
}

/** Compared as numbers: `::ffff:10.0.0.1` is 10.0.0.1 however it is spelled. */
function isSameNetwork(entry: string, host: string): boolean {
  const [address = '', prefix] = entry.split('/');
  const family = familyOf(address);
  if (!family) return false;
  const bits = prefix === undefined ? (family === 'ipv4' ? 32 : 128) : Number(prefix);
  if (!Number.isInteger(bits) || bits < 0 || bits > (family === 'ipv4' ? 32 : 128)) return false;
  const list = new BlockList();
  list.addSubnet(address, bits, family);
  return list.check(host, familyOf(host));
}

function familyOf(address: string): 'ipv4' | 'ipv6' | undefined {
  return ({ 4: 'ipv4', 6: 'ipv6' } as const)[isIP(address)];
}

export interface Tunnels {
  readonly connect: buildConnector.connector;
  destroy(): Promise<void>;
}

/**
 * A connector that asks the proxy for a tunnel and hands what comes out to `connector` for TLS.
 * @param timeoutMs for reaching the proxy and for its response, each
 */
export function createTunnels(proxy: Secret, connector: buildConnector.connector, timeoutMs: number): Tunnels {
  const { origin, username, password } = new URL(proxy.reveal());
  const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  const authorization = username && `Basic ${Buffer.from(credentials).toString('base64')}`;
  // Tunnels leave the pool as they are made, so it only ever holds those being asked for.
  const pool = new Pool(origin, { connect: { timeout: timeoutMs, allowH2: false }, headersTimeout: timeoutMs });

  async function open({ hostname, port, protocol }: buildConnector.Options): Promise<Socket> {
    const target = `${hostname}:${port || (protocol === 'https:' ? 443 : 80)}`;
    const headers = { host: target, ...(authorization && { 'proxy-authorization': authorization }) };
    const { socket, statusCode } = await pool.connect({
      path: target,
      headers,
      signal: AbortSignal.timeout(timeoutMs),
    });
    if (statusCode >= 200 && statusCode < 300) return socket as Socket;
    // It may still say something, which is nobody's concern any more.
    socket.on('error', () => undefined).destroy();
    throw new TunnelError(`the proxy responded with ${statusCode} to CONNECT`, { status: statusCode });
  }

  return {
    connect(options, done) {
      open(options).then(
        (socket) => {
          if (options.protocol === 'https:') connector({ ...options, httpSocket: socket }, done);
          else done(null, socket);
        },
        // A code of undici's own would make the pool try again for ever instead of failing the request.
        (cause: unknown) => done(cause instanceof TunnelError ? cause : new TunnelError('no tunnel', { cause }), null),
      );
    },
    destroy: () => pool.destroy(),
  };
}

class TunnelError extends Error {
  readonly code = 'PROXY_TUNNEL';
  /** The status of the proxy's response, if there was one. */
  readonly status: number | undefined;

  constructor(message: string, { status, cause }: { status?: number; cause?: unknown }) {
    super(message, { cause });
    this.status = status;
  }
}
