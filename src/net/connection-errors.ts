/**
 * Errors of sockets, of TLS and of the company's proxy in plain words: what did not work, where, and what to do.
 */
import type { Failure, Words } from '../core/failure.ts';
import { CERTIFICATES, type ErrorRow } from './certificate-errors.ts';
import type { Place } from './place.ts';

/** The account of a failed connection or request, for whoever met it. */
export function failureAt(error: unknown, place: Place): Failure {
  return { ...failureWords(error, place), host: place.target };
}

/** What a failed connection or request means. `error` may be anything. */
export function failureWords(error: unknown, place: Place): Words {
  const { code, status, cause } = (error ?? {}) as { code?: unknown; status?: number; cause?: unknown };
  if (code === 'PROXY_TUNNEL') return status === undefined ? proxyFailure(cause, place) : proxyResponse(status, place);
  const name = codeOf(error);
  const row = ROWS.find(({ codes }) => codes.test(name));
  return (row ?? OTHER).words(place, name);
}

function codeOf(error: unknown): string {
  const { code, name, errors } = (error ?? {}) as { code?: unknown; name?: unknown; errors?: unknown[] };
  // Several addresses were tried; the first one's failure stands for all.
  if (code === undefined && errors?.[0]) return codeOf(errors[0]);
  return String(code ?? name ?? 'unknown');
}

const TIMEOUTS = /^(ETIMEDOUT|UND_ERR_CONNECT_TIMEOUT|UND_ERR_HEADERS_TIMEOUT|UND_ERR_BODY_TIMEOUT|TimeoutError|23)$/;
const NOT_HTTP =
  /^(HPE_|UND_ERR_HEADERS_OVERFLOW|UND_ERR_RES_CONTENT_LENGTH_MISMATCH|HTTPParserError|ERR_HTTP_|ERR_ASSERTION)/;
/** The request had left. */
const NO_RESPONSE = /^UND_ERR_(HEADERS|BODY)_TIMEOUT$/;

type Row = ErrorRow<Place>;

const ROWS: readonly Row[] = [
  {
    codes: /^ENOTFOUND$/,
    words: ({ target, option }) => ({
      cause: 'dns_no_such_name',
      message: `the host name of ${target} cannot be resolved: there is no such name (ENOTFOUND)`,
      fix: `correct the spelling of ${option}; a name that only exists in the company network needs its DNS or VPN`,
    }),
  },
  {
    codes: /^(EAI_AGAIN|EAI_FAIL|EDNS_TIMEOUT)$/,
    words: ({ target }, code) => ({
      cause: 'dns_no_answer',
      message: `the host name of ${target} cannot be resolved: the DNS server does not respond (${code})`,
      fix: 'check the DNS servers of this machine (in a container: its network) and the firewall for port 53',
    }),
  },
  {
    codes: /^ECONNREFUSED$/,
    words: ({ target, option, addresses = '' }) => ({
      cause: 'connect_refused',
      message: `nothing listens at ${target}${addresses} (ECONNREFUSED)`,
      fix: `check host and port of ${option}, and whether the server is running`,
    }),
  },
  {
    codes: TIMEOUTS,
    words: (place, code) => timeout(NO_RESPONSE.test(code) ? { ...place, stage: 'response' } : place),
  },
  {
    codes: /^(EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL)$/,
    words: ({ target, addresses = '' }, code) => ({
      cause: 'no_route',
      message: `this machine has no route to ${target}${addresses} (${code})`,
      fix: 'check network, VPN and default route; a name with IPv6 addresses only needs IPv6 on this machine',
    }),
  },
  {
    codes: /WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST|RECORD_LAYER_FAILURE/,
    words: ({ target, option }, code) => ({
      cause: 'tls_not_spoken',
      message: `${target} does not speak TLS on this port (${code})`,
      fix: `check the port of ${option}; a server without TLS is http://, which only this machine's own may be`,
    }),
  },
  {
    codes: /PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL/,
    words: ({ target }, code) => ({
      cause: 'tls_too_old',
      message: `${target} speaks no TLS version later than 1.1 (${code})`,
      fix: 'have TLS 1.2 or 1.3 switched on at that server: older versions are not safe and are never used',
    }),
  },
  {
    codes: /CERTIFICATE_REQUIRED|ALERT_HANDSHAKE_FAILURE|CLOSED_AFTER_HANDSHAKE/,
    words: ({ target, hasCertificate }, code) =>
      hasCertificate
        ? {
            cause: 'tls_client_certificate_refused',
            message: `${target} does not accept the client certificate, or no cipher in common (${code})`,
            fix: 'ask the server’s operator which CA it accepts, and compare with tls.cert',
          }
        : {
            cause: 'tls_client_certificate_wanted',
            message: `${target} ends the TLS handshake: it most likely wants a client certificate (${code})`,
            fix: 'set tls.cert and tls.key of this credential or route to the certificate you were given',
          },
  },
  {
    codes: /ALERT_(UNKNOWN_CA|BAD_CERTIFICATE|CERTIFICATE|UNSUPPORTED_CERTIFICATE|ACCESS_DENIED)/,
    words: ({ target }, code) => ({
      cause: 'tls_client_certificate_refused',
      message: `${target} does not accept the client certificate (${code})`,
      fix: 'check that tls.cert is issued by the CA that server accepts, has not expired, and comes with its intermediates',
    }),
  },
  ...CERTIFICATES,
  {
    codes: NOT_HTTP,
    words: ({ target, option }, code) => ({
      cause: 'not_http',
      message: `what responds at ${target} does not speak HTTP/1.1 (${code})`,
      fix: `check host and port of ${option}; for https servers write https://`,
    }),
  },
  {
    codes: /^(ECONNRESET|EPIPE|UND_ERR_SOCKET)$/,
    words: ({ target }, code) => ({
      cause: 'connection_reset',
      message: `${target} takes the connection and cuts it (${code})`,
      fix: 'a firewall that inspects traffic, a wrong port, or a server that only lets known addresses in: ask its operator',
    }),
  },
];

const OTHER: Row = {
  codes: /^/,
  words: ({ target, option }, code) => ({
    cause: 'connection_failed',
    message: `no connection to ${target} (${code})`,
    fix: `check ${option}, DNS, firewall and TLS; the code in brackets is the system's own reason`,
  }),
};

function timeout({ target, seconds, responseSeconds = seconds, stage, addresses = '' }: Place): Words {
  if (stage === 'response') {
    const message = `${target} takes the request and does not respond within ${responseSeconds} s`;
    return {
      cause: 'answer_timeout',
      message,
      fix: 'try again later; if it stays so, ask its operator about its state',
    };
  }
  if (stage === 'handshake') {
    const message = `${target} takes the connection, but not the TLS handshake, within ${seconds} s`;
    const fix = 'check that the port is one for https; a firewall that inspects TLS can look like this, too';
    return { cause: 'tls_silent', message, fix };
  }
  return {
    cause: 'connect_timeout',
    message: `${target}${addresses} does not respond within ${seconds} s: does a firewall drop the packets?`,
    fix: 'have the way out opened in the firewall, or set HTTPS_PROXY if this network has a proxy; check routing and VPN',
  };
}

/** The proxy responded, but not with a tunnel (RFC 9110 §9.3.6). */
function proxyResponse(status: number, { proxy = '', target }: Place): Words {
  const said = `the proxy ${proxy} responds with HTTP ${status} when asked for ${target}`;
  if (status === 407) {
    return {
      cause: 'proxy_credentials',
      message: `${said}: it wants a user and a password, or does not accept these`,
      fix: 'put them into HTTPS_PROXY (http://user:password@proxy:3128, special characters percent-encoded), or add the host to NO_PROXY',
    };
  }
  if (status === 403) {
    const fix = 'have this host allowed at the proxy, or add it to NO_PROXY if it is reached directly';
    return { cause: 'proxy_forbids', message: `${said}: it does not allow this host`, fix };
  }
  if (status === 502 || status === 503 || status === 504) {
    const fix = 'check the host name; ask the proxy’s operator whether the proxy reaches and resolves it';
    return { cause: 'proxy_cannot_reach', message: `${said}: the proxy cannot reach it`, fix };
  }
  return {
    cause: 'proxy_not_a_proxy',
    message: `${said}: that is no proxy, or it does not do CONNECT`,
    fix: WHICH_PROXY,
  };
}

const WHICH_PROXY = 'compare host and port in HTTPS_PROXY/HTTP_PROXY with what your network’s operator gave you';

/** The proxy did not respond at all, or not in HTTP. */
function proxyFailure(cause: unknown, { proxy = '', seconds }: Place): Words {
  const code = codeOf(cause);
  if (TIMEOUTS.test(code) || code === 'AbortError') {
    return {
      cause: 'proxy_timeout',
      message: `the proxy ${proxy} does not respond within ${seconds} s`,
      fix: WHICH_PROXY,
    };
  }
  if (code === 'ECONNREFUSED') {
    return { cause: 'proxy_refused', message: `nothing listens at the proxy ${proxy} (${code})`, fix: WHICH_PROXY };
  }
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') {
    const message = `the host name of the proxy ${proxy} cannot be resolved (${code})`;
    return { cause: 'proxy_dns', message, fix: WHICH_PROXY };
  }
  const message = `what listens at ${proxy} is no HTTP proxy, or cuts the connection (${code})`;
  return { cause: 'proxy_not_a_proxy', message, fix: WHICH_PROXY };
}
