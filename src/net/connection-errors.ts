/**
 * Explains errors of sockets, TLS and the outbound proxy: what failed, where, and what to do.
 */
import type { Failure, Words } from '../core/failure.ts';
import { CERTIFICATES, type ErrorRow } from './certificate-errors.ts';
import type { Place, ResponseStage } from './place.ts';

/** Returns the `Failure` of a failed connection or request. @param error anything that was thrown */
export function failureAt(error: unknown, place: Place): Failure {
  return { ...failureWords(error, place), host: place.target };
}

/**
 * Returns cause, message and fix of a failed connection or request. @param error anything that was thrown
 * @example failureWords({ code: 'ENOTFOUND' }, { target: 'id:443', option: 'issuer', seconds: 5 }).cause //
 * 'dns_no_such_name'
 */
export function failureWords(error: unknown, place: Place): Words {
  const { code, status, cause } = (error ?? {}) as { code?: unknown; status?: number; cause?: unknown };
  if (code === 'PROXY_TUNNEL') return status === undefined ? proxyFailure(cause, place) : proxyResponse(status, place);
  const name = codeOf(error);
  const row = ROWS.find(({ codes }) => codes.test(name));
  return (row ?? OTHER).words(place, name);
}

function codeOf(error: unknown): string {
  const { code, name, errors } = (error ?? {}) as { code?: unknown; name?: unknown; errors?: unknown[] };
  // Node tried several addresses; the first error stands for all.
  if (code === undefined && errors?.[0]) return codeOf(errors[0]);
  return String(code ?? name ?? 'unknown');
}

const TIMEOUTS = /^(ETIMEDOUT|UND_ERR_CONNECT_TIMEOUT|UND_ERR_HEADERS_TIMEOUT|UND_ERR_BODY_TIMEOUT|TimeoutError|23)$/;
const NOT_HTTP =
  /^(HPE_|UND_ERR_HEADERS_OVERFLOW|UND_ERR_RES_CONTENT_LENGTH_MISMATCH|HTTPParserError|ERR_HTTP_|ERR_ASSERTION)/;
/** The request was sent. */
const WAITED_FOR = new Map<string, ResponseStage>([
  ['UND_ERR_HEADERS_TIMEOUT', 'response'],
  ['UND_ERR_BODY_TIMEOUT', 'body'],
]);

type Row = ErrorRow<Place>;

const ROWS: readonly Row[] = [
  {
    codes: /^ENOTFOUND$/,
    words: ({ target, option }) => ({
      cause: 'dns_no_such_name',
      message: `cannot resolve the host name of ${target}: it does not exist in DNS (ENOTFOUND)`,
      fix: `check the spelling of ${option}; a name that exists only in the company network needs its DNS or VPN`,
    }),
  },
  {
    codes: /^(EAI_AGAIN|EAI_FAIL|EDNS_TIMEOUT)$/,
    words: ({ target }, code) => ({
      cause: 'dns_no_answer',
      message: `cannot resolve the host name of ${target}: the DNS server does not respond (${code})`,
      fix: 'check the DNS servers of this machine (in a container: its network), and port 53 in the firewall',
    }),
  },
  {
    codes: /^ECONNREFUSED$/,
    words: ({ target, option, addresses = '' }) => ({
      cause: 'connect_refused',
      message: `nothing listens on ${target}${addresses} (ECONNREFUSED)`,
      fix: `check host and port of ${option}, and whether the server is running`,
    }),
  },
  {
    codes: TIMEOUTS,
    words: (place, code) => timeout(place, place.stage ?? WAITED_FOR.get(code)),
  },
  {
    codes: /^(EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL)$/,
    words: ({ target, addresses = '' }, code) => ({
      cause: 'no_route',
      message: `this machine has no route to ${target}${addresses} (${code})`,
      fix: 'check network, VPN and default route; a host with only IPv6 addresses needs IPv6 on this machine',
    }),
  },
  {
    codes: /WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST|RECORD_LAYER_FAILURE/,
    words: ({ target, option }, code) => ({
      cause: 'tls_not_spoken',
      message: `${target} does not speak TLS on this port (${code})`,
      fix: `check the port of ${option}; a server without TLS needs http://, allowed only for this machine`,
    }),
  },
  {
    codes: /PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL/,
    words: ({ target }, code) => ({
      cause: 'tls_too_old',
      message: `${target} supports no TLS version above 1.1 (${code})`,
      fix: 'ask its operator to enable TLS 1.2 or 1.3; the sidecar never uses older versions, which are unsafe',
    }),
  },
  {
    codes: /CERTIFICATE_REQUIRED|ALERT_HANDSHAKE_FAILURE|CLOSED_AFTER_HANDSHAKE/,
    words: ({ target, hasCertificate }, code) =>
      hasCertificate
        ? {
            cause: 'tls_client_certificate_refused',
            message: `${target} does not accept the client certificate, or there is no common cipher (${code})`,
            fix: 'ask the operator of the server which CA it accepts, and compare it with tls.cert',
          }
        : {
            cause: 'tls_client_certificate_wanted',
            message: `${target} aborts the TLS handshake: it probably requires a client certificate (${code})`,
            fix: 'set tls.cert and tls.key of this credential or route to the client certificate you received',
          },
  },
  {
    codes: /ALERT_(UNKNOWN_CA|BAD_CERTIFICATE|CERTIFICATE|UNSUPPORTED_CERTIFICATE|ACCESS_DENIED)/,
    words: ({ target }, code) => ({
      cause: 'tls_client_certificate_refused',
      message: `${target} does not accept the client certificate (${code})`,
      fix: 'check that tls.cert comes from a CA that the server accepts, has not expired, and includes its intermediates',
    }),
  },
  ...CERTIFICATES,
  {
    codes: NOT_HTTP,
    words: ({ target, option }, code) => ({
      cause: 'not_http',
      message: `${target} responds, but not with valid HTTP/1.1 (${code})`,
      fix: `check host and port of ${option}; for an https server, write https://`,
    }),
  },
  {
    codes: /^(ECONNRESET|EPIPE|UND_ERR_SOCKET)$/,
    words: ({ target }, code) => ({
      cause: 'connection_reset',
      message: `${target} accepts the connection, then closes it (${code})`,
      fix: 'check the port; ask the operator of the server whether it admits only known addresses; a firewall can also cause this',
    }),
  },
];

const OTHER: Row = {
  codes: /^/,
  words: ({ target, option }, code) => ({
    cause: 'connection_failed',
    message: `cannot connect to ${target} (${code})`,
    fix: `check ${option}, DNS, firewall and TLS; the code in brackets is the reason from the system`,
  }),
};

const TOO_LATE: Readonly<Record<ResponseStage, (target: string, seconds: number) => string>> = {
  response: (target, seconds) => `${target} accepts the request, but does not respond within ${seconds} s`,
  body: (target, seconds) => `${target} begins its response, then sends nothing for ${seconds} s`,
  whole: (target, seconds) => `the request to ${target} is not finished within ${seconds} s`,
};

function timeout({ target, seconds, limits = {}, addresses = '' }: Place, stage: Place['stage']): Words {
  if (stage !== undefined && stage !== 'handshake') {
    const limit = limits[stage];
    const fix = 'try again later; if it continues, ask the operator of the server';
    if (limit === undefined) return { cause: 'answer_timeout', message: TOO_LATE.response(target, seconds), fix };
    const raise = `; if the call needs more time, raise ${limit.option}`;
    return { cause: 'answer_timeout', message: TOO_LATE[stage](target, limit.seconds), fix: fix + raise };
  }
  if (stage === 'handshake') {
    const message = `${target} accepts the connection, but does not complete the TLS handshake within ${seconds} s`;
    const fix = 'check that the port is for https; a firewall that inspects TLS can also cause this';
    return { cause: 'tls_silent', message, fix };
  }
  return {
    cause: 'connect_timeout',
    message: `${target}${addresses} does not respond within ${seconds} s: a firewall may drop the packets`,
    fix: 'open the outbound connection in the firewall, or set HTTPS_PROXY if this network has a proxy; check routing and VPN',
  };
}

/** The proxy responded, but not with a tunnel (RFC 9110 §9.3.6). */
function proxyResponse(status: number, { proxy = '', target }: Place): Words {
  const said = `the proxy ${proxy} responds with HTTP ${status} to CONNECT ${target}`;
  if (status === 407) {
    return {
      cause: 'proxy_credentials',
      message: `${said}: user and password are missing or wrong`,
      fix: 'set them in HTTPS_PROXY (http://user:password@proxy:3128, special characters percent-encoded), or add the host to NO_PROXY',
    };
  }
  if (status === 403) {
    const fix = 'ask the operator of the proxy to allow this host, or add it to NO_PROXY if it is reachable directly';
    return { cause: 'proxy_forbids', message: `${said}: it does not allow this host`, fix };
  }
  if (status === 502 || status === 503 || status === 504) {
    const fix = 'check the host name; ask the operator of the proxy whether the proxy can resolve and reach it';
    return { cause: 'proxy_cannot_reach', message: `${said}: the proxy cannot reach this host`, fix };
  }
  return {
    cause: 'proxy_not_a_proxy',
    message: `${said}: it is not a proxy, or does not support CONNECT`,
    fix: WHICH_PROXY,
  };
}

const WHICH_PROXY = 'check host and port in HTTPS_PROXY or HTTP_PROXY; ask the operator of your network for them';

/** The proxy did not respond, or not with HTTP. */
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
    return {
      cause: 'proxy_refused',
      message: `nothing listens on the proxy address ${proxy} (${code})`,
      fix: WHICH_PROXY,
    };
  }
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') {
    const message = `cannot resolve the host name of the proxy ${proxy} (${code})`;
    return { cause: 'proxy_dns', message, fix: WHICH_PROXY };
  }
  const message = `${proxy} is not an HTTP proxy, or closes the connection (${code})`;
  return { cause: 'proxy_not_a_proxy', message, fix: WHICH_PROXY };
}
