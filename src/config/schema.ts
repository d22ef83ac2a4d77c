/**
 * THE option table: one strict zod schema from which types, validation, JSON Schema and the tables of docs/ follow.
 * Pure: nothing here touches the outside.
 */
import { z } from 'zod';
import { addresses } from './address-option.ts';
import { callerSchema, quota } from './caller-schema.ts';
import { IamSchema, RotationSchema } from './iam-schema.ts';
import { duration, meta, parsed } from './option.ts';
import { parseBaseUrl, parseDurationMs, parsePositiveDurationMs, parseSizeBytes } from './parsers.ts';

const size = (fallback: string, description: string) => parsed(parseSizeBytes, meta(description)).prefault(fallback);

const NAME = /^[a-z0-9][a-z0-9_-]{0,31}$/;
const name = z.string().regex(NAME, 'must be 1 to 32 of a-z 0-9 _ -, starting with a letter or digit');

/** RFC 6749 §3.3: scope tokens separated by single spaces. */
const SCOPE = /^[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*$/;
const scope = z.string().regex(SCOPE, 'must be scope names separated by single spaces (RFC 6749 §3.3)');
const VISIBLE = /^[\x20-\x7e]+$/;
const visible = z.string().regex(VISIBLE, 'must be printable ASCII and not empty');

const secretSource = z
  .strictObject({
    file: z.string().min(1).optional().meta(meta('File holding the secret; one trailing newline is ignored')),
    env: z
      .string()
      .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must be the name of an environment variable')
      .optional()
      .meta(meta('Environment variable holding the secret')),
    kid: visible.optional().meta(meta('Key id, for private_key_jwt; by default what a JWK states')),
    alg: z
      .enum(['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512'])
      .optional()
      .meta(meta('Signature algorithm, for private_key_jwt; by default what fits the key')),
  })
  .refine((source) => (source.file === undefined) !== (source.env === undefined), {
    message: 'must have exactly one of: file, env',
  });

const file = (description: string) => z.string().min(1).optional().meta(meta(description));

const tls = z
  .strictObject({
    ca: file('PEM file with the only CAs to trust, for a private CA'),
    cert: file('PEM file with a client certificate (mTLS, RFC 8705)'),
    key: file('PEM file with its private key'),
  })
  .refine(({ cert, key }) => (cert === undefined) === (key === undefined), 'needs both cert and key, or neither')
  .optional();

/** Parameters that the sidecar sets itself. */
const RESERVED = /^(?:grant_type|scope|audience|resource|client_(?:id|secret|assertion|assertion_type))$/;
const parameter = visible.refine((key) => !RESERVED.test(key), 'is set by the sidecar itself');

export const CredentialSchema = z
  .strictObject({
    tokenEndpoint: parsed(parseBaseUrl, meta('URL of the token endpoint; or give `issuer`')).optional(),
    issuer: parsed(parseBaseUrl, meta('Issuer whose discovery document names the token endpoint')).optional(),
    clientId: visible.max(100).meta(meta('OAuth client id')),
    auth: z
      .enum(['client_secret_post', 'client_secret_basic', 'private_key_jwt'])
      .default('client_secret_post')
      .meta(meta('How the client authenticates; Aritma documents client_secret_post')),
    secrets: z
      .array(secretSource)
      .min(1)
      .max(5)
      .meta(meta('Secrets, or keys for private_key_jwt, in order: the next one when the server says invalid_client')),
    scope: scope.optional().meta(meta('Scope to ask for; absent = all the client may have')),
    audience: visible.optional().meta(meta('Sent as `audience` when set')),
    resource: visible.optional().meta(meta('Sent as `resource` when set (RFC 8707)')),
    assertionAudience: visible
      .optional()
      .meta(meta('`aud` of the assertion of private_key_jwt; by default `issuer`, else `tokenEndpoint`')),
    parameters: z.record(parameter, visible).default({}).meta(meta('Further parameters of the token request')),
    verify: z
      .boolean()
      .default(false)
      .meta(meta('Check signature, issuer and `audience` of every token, which must be a JWT; needs `issuer`')),
    tls,
    rotation: RotationSchema,
  })
  .refine(({ tokenEndpoint, issuer }) => (tokenEndpoint === undefined) !== (issuer === undefined), {
    message: 'is required, or issuer; not both',
    path: ['tokenEndpoint'],
  })
  .refine(({ verify, issuer }) => !verify || issuer !== undefined, {
    message: 'needs issuer, which says where the keys are',
    path: ['verify'],
  })
  .refine(({ auth, secrets }) => auth === 'private_key_jwt' || secrets.every(({ kid, alg }) => !kid && !alg), {
    message: 'has kid or alg, which belong to private_key_jwt',
    path: ['secrets'],
  })
  .refine(({ auth, assertionAudience }) => auth === 'private_key_jwt' || assertionAudience === undefined, {
    message: 'belongs to private_key_jwt',
    path: ['assertionAudience'],
  })
  .refine(({ auth, rotation }) => rotation === undefined || auth !== 'private_key_jwt', {
    message: 'is for client secrets; keys are replaced by replacing their files',
    path: ['rotation'],
  })
  .refine(({ rotation, secrets: [first] }) => !rotation || rotation.kubernetes || rotation.exec || first?.file, {
    message: 'needs the first of secrets to be a file, or kubernetes or exec',
    path: ['rotation'],
  });

/** Each wildcard costs a walk along the path of a request. */
const ALLOW = /^[A-Z*]+ \/[^\s?#*]*(?:\*\*?[^\s?#*]*){0,8}$/;
export const RouteSchema = z.strictObject({
  path: z
    .string()
    .regex(
      /^\/(?:[A-Za-z0-9_~-][A-Za-z0-9._~-]*(?:\/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*)?$/,
      'must be a plain path such as /banking, without a trailing slash',
    )
    .meta(meta('Prefix callers use; the longest match wins and is stripped')),
  upstream: parsed(
    parseBaseUrl,
    meta('Base URL of the API; `environment` has it for `/banking` and `/events`', {
      examples: ['https://banking.zdata.io/api'],
    }),
  ),
  credential: name.default('default').meta(meta('Which credential’s token is injected')),
  scope: scope.optional().meta(meta('Overrides the credential’s scope')),
  audience: visible.optional().meta(meta('Overrides the credential’s audience')),
  resource: visible.optional().meta(meta('Overrides the credential’s resource')),
  replayOn401: z
    .enum(['once', 'never'])
    .default('once')
    .meta(meta('Send a request again with a new token when the API says 401 to the token')),
  upgrade: z.boolean().default(false).meta(meta('Let WebSocket upgrades through')),
  warm: z.boolean().default(false).meta(meta('Keep a connection to the API ready for the next call')),
  allow: z
    .array(z.string().regex(ALLOW, 'must be "METHOD /glob", at most 8 of * and **, for example "GET /accounts/**"'))
    .optional()
    .meta(
      meta(
        '`METHOD /glob` entries (`*` one segment, `**` the rest, at most 8 of them; method `*` any); absent = everything',
      ),
    ),
  limits: quota,
  idempotency: z
    .enum(['off', 'inject'])
    .default('off')
    .meta(meta('inject: a POST without `Idempotency-Key` gets a fresh one, which is also in its response')),
  rewriteLocation: z
    .boolean()
    .default(false)
    .meta(meta('Make `Location`, `Content-Location` and `Link` headers that point at the API point at this route')),
  cookies: z
    .enum(['pass', 'drop', 'rewrite'])
    .default('pass')
    .meta(meta('rewrite: fit the cookies’ domain and path to this route; `Secure` ones need callers over TLS')),
  tls,
});

/** Of the caller's listeners: here the certificate is the server's own. */
const callerTls = z
  .strictObject({
    cert: z.string().min(1).meta(meta('PEM file with the certificate chain that callers see')),
    key: z.string().min(1).meta(meta('PEM file with its private key')),
    ca: file('PEM file with the CAs of client certificates; given, every caller needs one (mTLS)'),
  })
  .optional();

const NO_ROUTES = 'needs at least one route: set environment to dev, prod or emulator, or list routes';

/** The whole configuration. `z.input` is what a file may hold, `z.output` what the program uses. */
export const ConfigSchema = z.strictObject({
  environment: z
    .enum(['dev', 'prod', 'emulator', 'none'])
    .default('none')
    .meta(meta('Preset for token endpoint, scope and the two routes')),
  listen: addresses(
    '127.0.0.1:7080',
    'Where callers connect: `host:port` or `unix:/path`, or a list; not set, `[::1]` too',
  ),
  admin: addresses('127.0.0.1:7090', 'Where probes and Prometheus connect, or a list; not set, `[::1]` too'),
  credentials: z.record(name, CredentialSchema).default({}).meta(meta('OAuth clients by name')),
  routes: z
    .array(RouteSchema, { error: ({ input }) => (input === undefined ? NO_ROUTES : undefined) })
    .min(1, NO_ROUTES)
    .meta(meta('Path prefixes and the APIs behind them')),
  callers: z
    .strictObject({
      hosts: z.array(visible).default([]).meta(meta('Further `Host` values to accept, for example `sidecar:7080`')),
      keys: z
        .record(name, callerSchema(z.array(secretSource).min(1).max(5)))
        .default({})
        .meta(meta('Callers by name, each with its keys; any given, every caller needs one')),
      tls: callerTls,
      limits: quota.meta(meta('For each caller that has no such limit of its own')),
      allowForwarded: z.boolean().default(false).meta(meta('Accept requests with Forwarded, X-Forwarded-* or Via')),
    })
    .prefault({}),
  iam: IamSchema,
  token: z
    .strictObject({
      attemptTimeout: duration('5s', 'Total time for one token request, from connecting to the last byte'),
      waitTimeout: duration('10s', 'How long a caller waits for a token before it gets 503'),
      refreshBefore: duration('5m', 'Refresh this long before expiry, or at half-life if that is later'),
    })
    .prefault({}),
  timeouts: z
    .strictObject({
      callerHeaders: duration('10s', 'Time a caller has to send its request headers'),
      connect: duration('5s', 'Time to connect to an API, TLS included'),
      firstByte: duration('60s', 'Time an API has to begin its response'),
      idle: duration(
        '60s',
        'Longest pause in the middle of a body, either way; from a caller, less than 1 KiB counts as a pause',
      ),
      queue: duration('10s', 'Time a request waits for one of the connections to its API to become free'),
      total: parsed(
        parsePositiveDurationMs,
        meta('Time from a request’s arrival to the end of its response; absent = none'),
      ).optional(),
    })
    .prefault({}),
  limits: z
    .strictObject({
      connections: z.int().min(1).max(100_000).default(1000).meta(meta('Connections of callers at most; more get 503')),
      heapShare: z
        .number()
        .min(0.5)
        .max(0.99)
        .default(0.9)
        .meta(meta('New requests get 503 while more than this share of the JavaScript heap is in use')),
      replayBody: size('64KiB', 'Request bodies up to this size are held in memory so they can be sent again'),
      requestBody: parsed(parseSizeBytes, meta('Largest request body; absent = no limit')).optional(),
      upstreamConnections: z.int().min(1).max(10_000).default(256).meta(meta('Connections to each API at most')),
      keepAlive: duration('55s', 'Keep an idle connection to a server this long; less if the server says so'),
    })
    .prefault({}),
  audit: z
    .strictObject({
      file: z.string().min(1).meta(meta('One JSON line for every call that may change something, chained by hash')),
      maxSize: size('100MiB', 'A file of this size is set aside under its last number, and a new one begun'),
      fsync: z
        .enum(['always', 'second', 'never'])
        .default('second')
        .meta(meta('How soon lines are on disk: before the call goes on, within a second, or when the system likes')),
      whenFailing: z
        .enum(['report', 'refuse'])
        .default('report')
        .meta(meta('While it cannot be written: report it, or also refuse such calls with 503')),
    })
    .optional(),
  drain: z
    .strictObject({
      minimum: parsed(parseDurationMs, meta('Keep accepting this long after a stop signal')).prefault('0s'),
      limit: duration('30s', 'Then give running requests this long to finish'),
    })
    .prefault({}),
  workers: z
    .int()
    .min(1)
    .max(64)
    .default(1)
    .meta(meta('Has no effect since 1.0: one process serves all callers; remove it')),
  startup: z
    .enum(['lenient', 'strict'])
    .default('lenient')
    .meta(meta('strict: exit 5 or 6 when no first token can be had; lenient: start, not ready, and keep trying')),
  adminActions: z
    .boolean()
    .default(false)
    .meta(meta('Allow POST /shutdown, and offer buttons on the status page, on a TCP admin listener')),
  log: z
    .strictObject({
      level: z
        .enum(['debug', 'info', 'warn', 'error', 'silent'])
        .default('info')
        .meta(meta('Least severe level written')),
      format: z
        .enum(['auto', 'json', 'text'])
        .default('auto')
        .meta(meta('auto: text on a terminal, JSON lines elsewhere')),
    })
    .prefault({}),
  unsafe: z
    .strictObject({
      plainTextHttp: z
        .boolean()
        .default(false)
        .meta(meta('Allow http:// to hosts other than this machine: anyone on the way can read secret and token')),
      nonLoopbackListen: z
        .boolean()
        .default(false)
        .meta(meta('Allow callers on other machines; only with `callers.keys` or client certificates')),
    })
    .prefault({}),
});

export type Config = z.output<typeof ConfigSchema>;
export type RouteConfig = Config['routes'][number];
export type CredentialConfig = Config['credentials'][string];
