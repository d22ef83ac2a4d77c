/**
 * The outbound proxy: decides whether it applies to an origin, and connects through it. Always uses CONNECT, so the
 * proxy never gets a request with a secret or token (RFC 9110 §9.3.6).
 */
import { BlockList, isIP, type Socket } from 'node:net';
import { type buildConnector, Pool } from 'undici';
import type { ProxySettings } from '../config/environment.ts';
import { type BaseUrl, isLoopback } from '../config/parsers.ts';
import type { Secret } from '../core/secret.ts';

/** Returns the proxy for an origin; undefined = connect directly. Never uses a proxy for this machine. */
export function proxyFor(base: BaseUrl, settings: ProxySettings | undefined): Secret | undefined {
  const proxy = base.secure ? settings?.https : settings?.http;
  if (!proxy || isLoopback(base.hostname)) return undefined;
  const bypassed = (settings?.noProxy ?? '')
    .split(/[\s,]+/)
    .filter(Boolean)
    .some((entry) => isCovered(entry.toLowerCase(), base));
  return bypassed ? undefined : proxy;
}

/** Returns `proxy:3128` for messages, without user and password. */
export function proxyHost(proxy: Secret): string {
  return new URL(proxy.reveal()).host;
}

const HOST_AND_PORT = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/;

/**
 * Matches a NO_PROXY entry as curl and Go do: `*`, `host` and its subdomains, `.domain`, IP, CIDR, each with `:port`.
 */
function isCovered(entry: string, { origin, hostname, secure }: BaseUrl): boolean {
  if (entry === '*') return true;
  // An IPv6 address without brackets has no port.
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

/** Compares numerically: `::ffff:10.0.0.1` equals 10.0.0.1. */
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
 * Creates a connector that opens a tunnel through the proxy and then lets `connector` do TLS in it.
 * @param timeoutMs limit to reach the proxy, and again for its response
 */
export function createTunnels(proxy: Secret, connector: buildConnector.connector, timeoutMs: number): Tunnels {
  const { origin, username, password } = new URL(proxy.reveal());
  const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  const authorization = username && `Basic ${Buffer.from(credentials).toString('base64')}`;
  // An open tunnel leaves the pool, so the pool contains only pending ones.
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
    // Later data or errors of the proxy are ignored.
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
        // With an error code of undici, the pool would retry forever instead of failing the request.
        (cause: unknown) => done(cause instanceof TunnelError ? cause : new TunnelError('no tunnel', { cause }), null),
      );
    },
    destroy: () => pool.destroy(),
  };
}

class TunnelError extends Error {
  readonly code = 'PROXY_TUNNEL';
  /** Status of the response of the proxy, if there was one. */
  readonly status: number | undefined;

  constructor(message: string, { status, cause }: { status?: number; cause?: unknown }) {
    super(message, { cause });
    this.status = status;
  }
}
