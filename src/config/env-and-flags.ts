/**
 * The environment variables and flags that set options.
 */

interface Input {
  readonly env: string;
  /** Absent for secrets: `ps` shows a command line to every user. */
  readonly flag?: string;
  /** Path of the option; `route:/x` is the list entry with that path. */
  readonly path: readonly string[];
  readonly about: string;
  /** Convert the text to a number. */
  readonly number?: true;
}

const CREDENTIAL = ['credentials', 'default'] as const;

/** All of them. Flags override the environment, both override the file. */
export const INPUTS: readonly Input[] = [
  { env: 'ARITMA_ENVIRONMENT', flag: '--environment', path: ['environment'], about: 'dev, prod, emulator or none' },
  { env: 'ARITMA_LISTEN', flag: '--listen', path: ['listen'], about: 'address for callers' },
  { env: 'ARITMA_ADMIN', flag: '--admin', path: ['admin'], about: 'address for probes, metrics and the status page' },
  { env: 'ARITMA_LOG_LEVEL', flag: '--log-level', path: ['log', 'level'], about: 'debug, info, warn, error or silent' },
  {
    env: 'ARITMA_TOKEN_ENDPOINT',
    flag: '--token-endpoint',
    path: [...CREDENTIAL, 'tokenEndpoint'],
    about: 'token endpoint of the default credential',
  },
  {
    env: 'ARITMA_CLIENT_ID',
    flag: '--client-id',
    path: [...CREDENTIAL, 'clientId'],
    about: 'client id of the default credential',
  },
  { env: 'ARITMA_SCOPE', flag: '--scope', path: [...CREDENTIAL, 'scope'], about: 'scope of the default credential' },
  {
    env: 'ARITMA_CLIENT_SECRET_FILE',
    flag: '--client-secret-file',
    path: [...CREDENTIAL, 'secrets', '0', 'file'],
    about: 'file with the client secret',
  },
  {
    env: 'ARITMA_CLIENT_SECRET',
    path: [...CREDENTIAL, 'secrets', '0', 'env'],
    about: 'the client secret itself; prefer the file',
  },
  {
    env: 'ARITMA_CLIENT_SECRET_SECONDARY_FILE',
    flag: '--client-secret-secondary-file',
    path: [...CREDENTIAL, 'secrets', '1', 'file'],
    about: 'file with the secondary client secret',
  },
  {
    env: 'ARITMA_CLIENT_SECRET_SECONDARY',
    path: [...CREDENTIAL, 'secrets', '1', 'env'],
    about: 'the secondary client secret itself',
  },
  {
    env: 'ARITMA_BANKING_URL',
    flag: '--banking-url',
    path: ['routes', 'route:/banking', 'upstream'],
    about: 'upstream of /banking',
  },
  {
    env: 'ARITMA_EVENTS_URL',
    flag: '--events-url',
    path: ['routes', 'route:/events', 'upstream'],
    about: 'upstream of /events',
  },
  {
    env: 'ARITMA_WORKERS',
    flag: '--workers',
    path: ['workers'],
    about: 'no effect since 1.0; remove it',
    number: true,
  },
  { env: 'ARITMA_IAM_URL', flag: '--iam-url', path: ['iam', 'url'], about: 'base URL of Aritma IAM' },
];
