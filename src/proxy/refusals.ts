/**
 * Messages for callers that use the wrong protocol, host or path. They name what is configured, never what the caller
 * sent.
 */
import { closest } from '../core/closest.ts';
import { SidecarError } from '../core/errors.ts';
import type { Words } from '../core/failure.ts';
import { visible } from '../core/terminal.ts';

/** Characters of a path. */
const MAX_COMPARED_CHARS = 200;
const ADDRESS = /^(?:localhost|[\d.]+|\[[\da-f:.]+\])(?::\d+)?$/;
/** Addresses named in a response. */
const MAX_NAMED = 6;
/** Characters of a refused Host. */
const MAX_LOGGED_CHARS = 80;

/**
 * Returns ROUTE_NOT_FOUND, with the nearest prefix when the path looks mistyped.
 * @param prefixes of the routes
 * @example
 * notRouted('/bankng/accounts', ['/banking']).extras.failure?.fix; // 'the nearest prefix is /banking: …'
 */
export function notRouted(path: string, prefixes: readonly string[]): SidecarError {
  const depths = new Set(prefixes.map((prefix) => prefix.split('/').length));
  const begun = path.slice(0, MAX_COMPARED_CHARS).split('/');
  const near = [...depths].map((depth) => closest(begun.slice(0, depth).join('/'), prefixes)).find(Boolean);
  const message = 'the path starts with none of the configured route prefixes';
  const failure =
    near === undefined
      ? { cause: 'route_unknown', message, fix: 'correct the path; `/status` on the admin port lists the prefixes' }
      : {
          cause: 'route_mistyped',
          message,
          fix: `the nearest prefix is ${near}: correct the path in the calling program`,
        };
  return new SidecarError('ROUTE_NOT_FOUND', { failure });
}

/**
 * Returns CALLER_HOST. The Host that the caller sent goes only into the log. The response names the addresses that the
 * sidecar listens on, but no name in `callers.hosts`: the caller may be a hostile web page.
 */
export function notOurs(sent: string, hosts: ReadonlySet<string>): SidecarError {
  const listened = [...hosts].filter((host) => ADDRESS.test(host)).slice(0, MAX_NAMED);
  const failure = {
    cause: 'host_unknown',
    message: 'the Host header of the request does not name this sidecar',
    fix: `call an address it listens on (${listened.join(', ')}), or add the name to \`callers.hosts\``,
  };
  return new SidecarError('CALLER_HOST', { fields: { refusedHost: cut(visible(sent)) }, failure });
}

function cut(text: string): string {
  return text.length > MAX_LOGGED_CHARS ? `${text.slice(0, MAX_LOGGED_CHARS - 1)}…` : text;
}

const NO_REQUEST = {
  cause: 'malformed_request',
  message: 'the bytes received are not an HTTP/1.1 request',
  fix: 'correct the calling program: this port speaks HTTP/1.1',
};

/** Returns the message for bytes that are not HTTP/1.1; undefined for other errors. @param error from `clientError` */
export function notHttp(error: Error & { readonly code?: string; readonly rawPacket?: Buffer }): Words | undefined {
  const { code = '', rawPacket } = error;
  // A record of a TLS handshake (RFC 8446 §5.1).
  if (rawPacket?.[0] === 0x16 && rawPacket[1] === 0x03)
    return {
      cause: 'tls_on_plain_port',
      message: 'the caller speaks TLS to a port that speaks plain HTTP',
      fix: 'use http://',
    };
  if (code === 'ERR_SSL_HTTP_REQUEST')
    return {
      cause: 'plain_on_tls_port',
      message: 'the caller speaks plain HTTP to a port that speaks TLS',
      fix: 'use https://',
    };
  if (rawPacket?.subarray(0, 5).toString('latin1') === 'PRI *')
    return {
      cause: 'http2',
      message: 'the caller speaks HTTP/2 to a port that speaks HTTP/1.1',
      fix: 'switch HTTP/2 off in the calling program',
    };
  return /^HPE_(?!HEADER_OVERFLOW)/.test(code) ? NO_REQUEST : undefined;
}
