/** Why the store cannot be used: a cause from a closed list, for metrics, and a sentence that says what to do. */

/** Result of one command, as a metric label; everything but `ok` means that the store cannot be used. */
export type StoreCause =
  | 'timeout'
  | 'unreachable'
  | 'tls'
  | 'password'
  | 'denied'
  | 'database'
  | 'full'
  | 'read_only'
  | 'not_ready'
  | 'other';

export interface StoreFault {
  readonly cause: StoreCause;
  /** For people: `problem; fix`. */
  readonly message: string;
  readonly problem: string;
  readonly fix: string;
}

/** By the begin of the store's error reply, or the code of the connection's error; that has no other cause: `unreachable`. */
const CAUSES: readonly (readonly [pattern: RegExp, cause: StoreCause])[] = [
  [/^(WRONGPASS|NOAUTH|ERR (AUTH|invalid (password|username)|Client sent AUTH))/i, 'password'],
  [/^NOPERM|ACL failure in script|user executing the script/, 'denied'],
  [/^ERR (DB index|invalid DB|SELECT )/i, 'database'],
  [/^OOM/, 'full'],
  [/^(READONLY|NOREPLICAS)/, 'read_only'],
  [/^(LOADING|CLUSTERDOWN|MASTERDOWN|BUSY|TRYAGAIN|UNKILLABLE|MISCONF|ERR max number of clients)/, 'not_ready'],
  [/^(CERT|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|ERR_TLS|ERR_SSL|EPROTO|HOSTNAME)|certificate/i, 'tls'],
  [/^(Socket timeout|Command timed out)/, 'timeout'],
];

/** Before the store's seventh version, an error within a script stood behind this. */
const IN_SCRIPT = /^ERR Error running script .*?: -(?=[A-Z]+ )/;

const TEXTS: Readonly<Record<StoreCause, readonly [problem: string, fix: string]>> = {
  timeout: ['does not respond in time', 'look at its load, or set a longer fleet.timeout'],
  unreachable: ['cannot be reached', 'check that it runs, the address, and firewalls between'],
  tls: [
    'has a certificate that is not trusted, or speaks no TLS, or wants a client certificate',
    'check fleet.tls, and rediss:// in the URL',
  ],
  password: ['refuses user or password', 'check fleet.password and the user in fleet.url'],
  denied: ['refuses a command to this user', 'give it the rights in docs/tokens.md, section Fleet'],
  database: ['has no database of this number', 'check the number in fleet.url'],
  full: ['has no memory left', 'raise maxmemory'],
  read_only: ['is a read-only replica', 'name the primary, or use fleet.sentinel'],
  not_ready: ['is not ready', 'look at its log'],
  other: ['responds with an error', 'look at its log'],
};

/** Thrown for a command without a reply in time. */
export class StoreTimeout extends Error {}

/** @param error from the store's client: a reply with an error, or a failure of the connection */
export function faultOf(error: unknown): StoreFault {
  const cause = causeOf(error);
  const [text, fix] = TEXTS[cause];
  const problem = `the fleet store ${text}`;
  return { cause, message: `${problem}; ${fix}`, problem, fix };
}

function causeOf(error: unknown): StoreCause {
  if (error instanceof StoreTimeout) return 'timeout';
  const { code, name, message = '' } = (error ?? {}) as { code?: unknown; name?: string; message?: string };
  const texts = [typeof code === 'string' ? code : '', message.replace(IN_SCRIPT, '')];
  const known = CAUSES.find(([pattern]) => texts.some((text) => pattern.test(text)))?.[1];
  return known ?? (name === 'ReplyError' ? 'other' : 'unreachable');
}
