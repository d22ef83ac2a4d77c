/**
 * Standard environment variables of Node, systemd, Kubernetes and proxies. Refuses those that would break the security
 * of the sidecar, and reads the others.
 */
import { Secret } from '../core/secret.ts';
import { refuseNodeOptions } from './node-options.ts';
import type { Problem } from './problems.ts';

type Env = Readonly<Record<string, string | undefined>>;

export interface ProxySettings {
  /** Whole URLs, which may contain a password. */
  readonly https: Secret | undefined;
  readonly http: Secret | undefined;
  readonly noProxy: string;
}

/** Variables that must not be set, and what they would do. */
const REFUSED: Readonly<Record<string, string>> = {
  NODE_DEBUG: 'makes Node print headers with the token; unset it',
  NODE_DEBUG_NATIVE: 'makes Node print internals such as addresses and file names; unset it',
  SSLKEYLOGFILE: 'writes TLS keys to a file, which can decrypt tokens; unset it',
  OPENSSL_CONF: 'can load foreign code and weaken TLS; unset it',
  OPENSSL_MODULES: 'makes OpenSSL load code from another folder; unset it',
};

/**
 * Returns a problem for each variable and option of Node that would break the security of the sidecar, whatever the
 * configuration is. Not LD_PRELOAD and the like, which act before this code runs, and not NODE_PATH: packages are
 * loaded from the folder of the program.
 * @param nodeArguments options of Node before the program
 */
export function refuseEnvironment(env: Env, nodeArguments: readonly string[]): Problem[] {
  const named = (name: string, message: string) => ({ where: `environment variable ${name}`, path: '', message });
  const unset = Object.entries(REFUSED).flatMap(([name, message]) => (env[name] ? [named(name, message)] : []));
  const tls = 'turns off certificate checks; unset it and add the CA with NODE_EXTRA_CA_CERTS';
  return [
    ...(env['NODE_TLS_REJECT_UNAUTHORIZED'] === '0' ? [named('NODE_TLS_REJECT_UNAUTHORIZED', tls)] : []),
    ...unset,
    ...refuseNodeOptions(env['NODE_OPTIONS'] ?? '', nodeArguments),
  ];
}

/** Reads what systemd and Kubernetes tell the process. */
export function readSurroundings(env: Env) {
  return { supervisor: readSupervisor(env), cluster: readCluster(env) };
}

/** For a systemd unit with `Type=notify`: sd_notify(3), sd_watchdog_enabled(3). */
function readSupervisor(env: Env): { socket: string; watchdogMs: number | undefined } | undefined {
  const socket = env['NOTIFY_SOCKET'];
  if (!socket) return undefined;
  const watchdogUs = Number(env['WATCHDOG_USEC']);
  return { socket, watchdogMs: watchdogUs >= 1000 ? watchdogUs / 1000 : undefined };
}

/** In a Kubernetes pod: URL of the API server and name of the pod; undefined elsewhere. */
function readCluster(env: Env): { apiServer: string; pod: string } | undefined {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443' } = env;
  if (!host) return undefined;
  return { apiServer: `https://${host.includes(':') ? `[${host}]` : host}:${port}`, pod: env['HOSTNAME'] || 'unknown' };
}

/** Reads the proxy variables, in upper or lower case as curl does; undefined when no proxy is set. */
export function readProxy(env: Env, problems: Problem[]): ProxySettings | undefined {
  const read = (name: string): Secret | undefined => {
    const value = (env[name] || env[name.toLowerCase()])?.trim();
    if (!value) return undefined;
    const url = proxyUrl(value);
    if (url !== undefined) return new Secret(url);
    problems.push({
      where: `environment variable ${name}`,
      path: '',
      message:
        'must be host:port or an http(s) URL such as http://proxy:3128; percent-encode special characters of a password',
    });
    return undefined;
  };
  const settings = { https: read('HTTPS_PROXY'), http: read('HTTP_PROXY') };
  if (!settings.https && !settings.http) return undefined;
  return { ...settings, noProxy: env['NO_PROXY'] || env['no_proxy'] || '' };
}

const WITHOUT_SCHEME = /^(?:[^\s@/]*@)?(?:\[[0-9a-f:.]+\]|[^\s:/@[\]\\?#]+)(?::\d+)?\/?$/i;

/** Without a scheme it is an HTTP proxy, as for curl and Go. */
function proxyUrl(value: string): string | undefined {
  const text = WITHOUT_SCHEME.test(value) ? `http://${value}` : value;
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text)) return undefined;
  const { username, password } = new URL(text);
  return /%(?![0-9a-f]{2})/i.test(username + password) ? undefined : text;
}
