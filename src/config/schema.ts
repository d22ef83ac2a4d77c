/**
 * THE option table: one strict zod schema. Types, validation, JSON Schema and the tables in docs/ come from it. It does
 * no I/O.
 */
import { z } from 'zod';
import { addresses } from './address-option.ts';
import { callerSchema, quota } from './caller-schema.ts';
import { FleetSchema } from './fleet-schema.ts';
import { IamSchema, RotationSchema } from './iam-schema.ts';
import { duration, meta, parsed } from './option.ts';
import { parseBaseUrl, parseDurationMs, parsePositiveDurationMs, parseSizeBytes } from './parsers.ts';
import { file, secretSource, tls } from './sources.ts';

const size = (fallback: string, description: string) => parsed(parseSizeBytes, meta(description)).prefault(fallback);

const NAME = /^[a-z0-9][a-z0-9_-]{0,31}$/;
const name = z.string().regex(NAME, 'must be 1 to 32 of a-z 0-9 _ -, and start with a letter or digit');

/** RFC 6749 §3.3: scope tokens separated by single spaces. */
const SCOPE = /^[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*$/;
const scope = z.string().regex(SCOPE, 'must be scope names separated by single spaces (RFC 6749 §3.3)');
const VISIBLE = /^[\x20-\x7e]+$/;
const visible = z.string().regex(VISIBLE, 'must be printable ASCII, not empty');

/** Parameters of the token request that the sidecar sets itself. */
const RESERVED = /^(?:grant_type|scope|audience|resource|client_(?:id|secret|assertion|assertion_type))$/;
const parameter = visible.refine((key) => !RESERVED.test(key), 'is set by the sidecar itself');

export const CredentialSchema = z
  .strictObject({
    tokenEndpoint: parsed(parseBaseUrl, meta('URL of the token endpoint; or set `issuer`')).optional(),
    issuer: parsed(parseBaseUrl, meta('Issuer; its discovery document names the token endpoint')).optional(),
    clientId: visible.max(100).meta(meta('OAuth client id')),
    auth: z
      .enum(['client_secret_post', 'client_secret_basic', 'private_key_jwt'])
      .default('client_secret_post')
      .meta(meta('How the client authenticates; Aritma documents client_secret_post')),
    secrets: z
      .array(secretSource)
      .min(1)
      .max(5)
      .meta(meta('Client secrets, or keys for private_key_jwt, in order; the next one is used on `invalid_client`')),
    scope: scope.optional().meta(meta('Scope to request; absent = every scope of the client')),
    audience: visible.optional().meta(meta('`audience` of the token request')),
    resource: visible.optional().meta(meta('`resource` of the token request (RFC 8707)')),
    assertionAudience: visible
      .optional()
      .meta(meta('`aud` of the assertion for private_key_jwt; default: `issuer`, else `tokenEndpoint`')),
    parameters: z.record(parameter, visible).default({}).meta(meta('More parameters of the token request')),
    verify: z
      .boolean()
      .default(false)
      .meta(meta('Check signature, issuer and `audience` of every token; needs `issuer` and tokens that are JWTs')),
    tls,
    rotation: RotationSchema,
  })
  .refine(({ tokenEndpoint, issuer }) => (tokenEndpoint === undefined) !== (issuer === undefined), {
    message: 'is required, or issuer instead; not both',
    path: ['tokenEndpoint'],
  })
  .refine(({ verify, issuer }) => !verify || issuer !== undefined, {
    message: 'needs issuer: its discovery document names the keys',
    path: ['verify'],
  })
  .refine(({ auth, secrets }) => auth === 'private_key_jwt' || secrets.every(({ kid, alg }) => !kid && !alg), {
    message: 'must not have kid or alg: they need auth: private_key_jwt',
    path: ['secrets'],
  })
  .refine(({ auth, assertionAudience }) => auth === 'private_key_jwt' || assertionAudience === undefined, {
    message: 'needs auth: private_key_jwt',
    path: ['assertionAudience'],
  })
  .refine(({ auth, rotation }) => rotation === undefined || auth !== 'private_key_jwt', {
    message: 'is only for client secrets; to replace a key, replace its file',
    path: ['rotation'],
  })
  .refine(({ rotation, secrets: [first] }) => !rotation || rotation.kubernetes || rotation.exec || first?.file, {
    message: 'needs kubernetes, exec, or a file as the first of secrets',
    path: ['rotation'],
  });

/** At most 8 wildcards: each one costs a walk along the path of the request. */
const ALLOW = /^[A-Z*]+ \/[^\s?#*]*(?:\*\*?[^\s?#*]*){0,8}$/;
export const RouteSchema = z.strictObject({
  path: z
    .string()
    .regex(
      /^\/(?:[A-Za-z0-9_~-][A-Za-z0-9._~-]*(?:\/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*)?$/,
      'must be a plain path such as /banking, without a trailing slash',
    )
    .meta(meta('Path prefix for callers; the longest match wins and is removed before forwarding')),
  upstream: parsed(
    parseBaseUrl,
    meta('Base URL of the API; default from `environment` for `/banking` and `/events`', {
      examples: ['https://banking.zdata.io/api'],
    }),
  ),
  credential: name.default('default').meta(meta('Credential that provides the token')),
  scope: scope.optional().meta(meta('Replaces the scope of the credential')),
  audience: visible.optional().meta(meta('Replaces the audience of the credential')),
  resource: visible.optional().meta(meta('Replaces the resource of the credential')),
  replayOn401: z
    .enum(['once', 'never'])
    .default('once')
    .meta(meta('Send a request again with a new token on 401 from the API')),
  upgrade: z.boolean().default(false).meta(meta('Allow WebSocket upgrades')),
  warm: z.boolean().default(false).meta(meta('Keep a connection to the API ready for the next call')),
  allow: z
    .array(z.string().regex(ALLOW, 'must be "METHOD /glob", at most 8 of * and **, for example "GET /accounts/**"'))
    .optional()
    .meta(
      meta(
        'Allowed calls: `METHOD /glob` (`*` one segment, `**` the rest; at most 8; method `*` any); absent = everything',
      ),
    ),
  limits: quota,
  idempotency: z
    .enum(['off', 'inject'])
    .default('off')
    .meta(meta('inject: add a new `Idempotency-Key` to each POST without one, and to its response')),
  rewriteLocation: z
    .boolean()
    .default(false)
    .meta(meta('Rewrite URLs of the API in `Location`, `Content-Location` and `Link` to this route')),
  cookies: z
    .enum(['pass', 'drop', 'rewrite'])
    .default('pass')
    .meta(meta('rewrite: adapt cookie domain and path to this route; `Secure` cookies need callers over TLS')),
  tls,
});

/** For the listeners of callers: the certificate is the server's own. */
const callerTls = z
  .strictObject({
    cert: z.string().min(1).meta(meta('PEM file with the certificate chain of the sidecar')),
    key: z.string().min(1).meta(meta('PEM file with its private key')),
    ca: file('PEM file with the CAs of client certificates; if set, every caller needs a certificate (mTLS)'),
  })
  .optional();

const NO_ROUTES = 'must have at least one route: set environment to dev, prod or emulator, or list routes';

/** The whole configuration. `z.input` is what a file may contain, `z.output` is what the program uses. */
export const ConfigSchema = z.strictObject({
  environment: z
    .enum(['dev', 'prod', 'emulator', 'none'])
    .default('none')
    .meta(meta('Preset for token endpoint, scope, routes and, for dev and emulator, IAM')),
  listen: addresses(
    '127.0.0.1:7080',
    'Address for callers: `host:port`, `unix:/path` or a list; when not set, also `[::1]`',
  ),
  admin: addresses('127.0.0.1:7090', 'Address for probes and Prometheus, or a list; when not set, also `[::1]`'),
  credentials: z.record(name, CredentialSchema).default({}).meta(meta('OAuth clients, by name')),
  routes: z
    .array(RouteSchema, { error: ({ input }) => (input === undefined ? NO_ROUTES : undefined) })
    .min(1, NO_ROUTES)
    .meta(meta('Path prefixes and their APIs')),
  callers: z
    .strictObject({
      hosts: z
        .array(visible.toLowerCase())
        .default([])
        .meta(meta('More `Host` values to accept, for example `sidecar:7080`')),
      keys: z
        .record(name, callerSchema(z.array(secretSource).min(1).max(5)))
        .default({})
        .meta(meta('Callers by name, each with its keys; if any is set, every caller needs a key')),
      tls: callerTls,
      limits: quota.meta(meta('Limits of each caller without own limits')),
      allowForwarded: z.boolean().default(false).meta(meta('Accept requests with Forwarded, X-Forwarded-* or Via')),
    })
    .prefault({}),
  iam: IamSchema,
  fleet: FleetSchema,
  token: z
    .strictObject({
      attemptTimeout: duration('5s', 'Total time for one token request, from connect to the last byte'),
      waitTimeout: duration('10s', 'Time a caller waits for a token before it gets 503'),
      refreshBefore: duration('5m', 'Refresh this long before expiry, but not before half of the lifetime'),
    })
    .prefault({}),
  timeouts: z
    .strictObject({
      callerHeaders: duration('10s', 'Time for a caller to send its request headers'),
      connect: duration('5s', 'Time to connect to an API, TLS included'),
      firstByte: duration('60s', 'Time for an API to begin its response'),
      idle: duration(
        '60s',
        'Longest pause inside a body, in both directions; from a caller, less than 1 KiB counts as a pause',
      ),
      queue: duration('10s', 'Time a request waits for a free connection to its API'),
      total: parsed(
        parsePositiveDurationMs,
        meta('Time from the arrival of a request to the end of its response; absent = no limit'),
      ).optional(),
    })
    .prefault({}),
  limits: z
    .strictObject({
      connections: z.int().min(1).max(100_000).default(1000).meta(meta('Most connections from callers; more get 503')),
      heapShare: z
        .number()
        .min(0.5)
        .max(0.99)
        .default(0.9)
        .meta(meta('New requests get 503 while more than this share of the JavaScript heap is used')),
      replayBody: size('64KiB', 'Request bodies up to this size stay in memory to be sent again'),
      requestBody: parsed(parseSizeBytes, meta('Largest request body; absent = no limit')).optional(),
      upstreamConnections: z.int().min(1).max(10_000).default(256).meta(meta('Most connections to each API')),
      keepAlive: duration('55s', 'Keep an idle connection to a server this long; less if the server says so'),
    })
    .prefault({}),
  audit: z
    .strictObject({
      file: z.string().min(1).meta(meta('One JSON line per call that may change something, in a hash chain')),
      maxSize: size('100MiB', 'At this size, the file is renamed with its last sequence number and a new one begins'),
      fsync: z
        .enum(['always', 'second', 'never'])
        .default('second')
        .meta(meta('When lines are on disk: before the call is forwarded, within a second, or later')),
      whenFailing: z
        .enum(['report', 'refuse'])
        .default('report')
        .meta(meta('While the file cannot be written: only report it, or also refuse such calls with 503')),
    })
    .optional(),
  drain: z
    .strictObject({
      minimum: parsed(parseDurationMs, meta('Keep accepting this long after a stop signal')).prefault('0s'),
      limit: duration('30s', 'After that, give running requests this long to finish'),
    })
    .prefault({}),
  workers: z
    .int()
    .min(1)
    .max(64)
    .default(1)
    .meta(meta('No effect since 1.0: one process serves all callers; remove it')),
  startup: z
    .enum(['lenient', 'strict'])
    .default('lenient')
    .meta(meta('strict: exit 5 or 6 if the first token cannot be obtained; lenient: start not ready and keep trying')),
  adminActions: z
    .boolean()
    .default(false)
    .meta(meta('Allow `POST /shutdown` and show buttons on the status page, on TCP admin listeners')),
  log: z
    .strictObject({
      level: z
        .enum(['debug', 'info', 'warn', 'error', 'silent'])
        .default('info')
        .meta(meta('Least severe level to write')),
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
        .meta(meta('Allow `http://` to other machines: anyone on the network path can read secret and token')),
      nonLoopbackListen: z
        .boolean()
        .default(false)
        .meta(meta('Allow callers on other machines; needs `callers.keys` or client certificates')),
    })
    .prefault({}),
});

export type Config = z.output<typeof ConfigSchema>;
export type RouteConfig = Config['routes'][number];
export type CredentialConfig = Config['credentials'][string];
