/**
 * Standard variables of Node and of companies' networks, as far as they matter here: what would undo the sidecar's
 * promises is refused, proxies are taken over.
 */
import { Secret } from '../core/secret.ts';
import { refuseNodeOptions } from './node-options.ts';
import type { Problem } from './problems.ts';

type Env = Readonly<Record<string, string | undefined>>;

export interface ProxySettings {
  /** Whole URLs; they may hold a password. */
  readonly https: Secret | undefined;
  readonly http: Secret | undefined;
  readonly noProxy: string;
}

/** What else must not be set, because it would undo what the sidecar promises, and what it does. */
const REFUSED: Readonly<Record<string, string>> = {
  NODE_DEBUG: 'makes Node print headers, the token among them; unset it',
  NODE_DEBUG_NATIVE: 'makes Node print what it does, addresses and names of files among it; unset it',
  SSLKEYLOGFILE: 'asks for the keys of TLS to be written down, with which tokens can be read; unset it',
  OPENSSL_CONF: 'can load other code and lower what TLS accepts; unset it',
  OPENSSL_MODULES: 'lets OpenSSL load code from another place; unset it',
};

/**
 * Variables and options of Node that would undo what the sidecar promises, whatever the configuration says. Not LD_PRELOAD
 * and its kin, which have acted before anything here runs, and not NODE_PATH: packages come from beside the program.
 * @param nodeArguments Node's options in front of the program
 */
export function refuseEnvironment(env: Env, nodeArguments: readonly string[]): Problem[] {
  const named = (name: string, message: string) => ({ where: `environment variable ${name}`, path: '', message });
  const unset = Object.entries(REFUSED).flatMap(([name, message]) => (env[name] ? [named(name, message)] : []));
  const tls = 'turns certificate checks off; unset it and add the CA with NODE_EXTRA_CA_CERTS';
  return [
    ...(env['NODE_TLS_REJECT_UNAUTHORIZED'] === '0' ? [named('NODE_TLS_REJECT_UNAUTHORIZED', tls)] : []),
    ...unset,
    ...refuseNodeOptions(env['NODE_OPTIONS'] ?? '', nodeArguments),
  ];
}

/** What those who started this process tell it about themselves. */
export function readSurroundings(env: Env) {
  return { supervisor: readSupervisor(env), cluster: readCluster(env) };
}

/** What systemd tells a unit of `Type=notify` (sd_notify(3), sd_watchdog_enabled(3)). */
function readSupervisor(env: Env): { socket: string; watchdogMs: number | undefined } | undefined {
  const socket = env['NOTIFY_SOCKET'];
  if (!socket) return undefined;
  const watchdogUs = Number(env['WATCHDOG_USEC']);
  return { socket, watchdogMs: watchdogUs >= 1000 ? watchdogUs / 1000 : undefined };
}

/** Where the API server is, and which pod this is, in a Kubernetes pod; undefined elsewhere. */
function readCluster(env: Env): { apiServer: string; pod: string } | undefined {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443' } = env;
  if (!host) return undefined;
  return { apiServer: `https://${host.includes(':') ? `[${host}]` : host}:${port}`, pod: env['HOSTNAME'] || 'unknown' };
}

/** Upper or lower case names, as curl has them; undefined when no proxy is set. */
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
        'must be host:port or a URL such as http://proxy:3128 (http or https), special characters of a password percent-encoded',
    });
    return undefined;
  };
  const settings = { https: read('HTTPS_PROXY'), http: read('HTTP_PROXY') };
  if (!settings.https && !settings.http) return undefined;
  return { ...settings, noProxy: env['NO_PROXY'] || env['no_proxy'] || '' };
}

const WITHOUT_SCHEME = /^(?:[^\s@/]*@)?(?:\[[0-9a-f:.]+\]|[^\s:/@[\]\\?#]+)(?::\d+)?\/?$/i;

/** A proxy without a scheme speaks HTTP, as for curl and Go. */
function proxyUrl(value: string): string | undefined {
  const text = WITHOUT_SCHEME.test(value) ? `http://${value}` : value;
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text)) return undefined;
  const { username, password } = new URL(text);
  return /%(?![0-9a-f]{2})/i.test(username + password) ? undefined : text;
}
