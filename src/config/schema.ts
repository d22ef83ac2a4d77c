/**
 * THE option table: one strict zod schema. Types, validation, JSON Schema and the tables in docs/ come from it. It does
 * no I/O.
 */
import { z } from 'zod';
import { addresses } from './address-option.ts';
import { callerSchema, quota } from './caller-schema.ts';
import { CredentialSchema } from './credential-schema.ts';
import { FleetSchema } from './fleet-schema.ts';
import { IamSchema } from './iam-schema.ts';
import { duration, meta, parsed } from './option.ts';
import { parseBaseUrl, parseDurationMs, parsePositiveDurationMs, parseSizeBytes } from './parsers.ts';
import { RouteSchema } from './route-schema.ts';
import { file, secretSource } from './sources.ts';
import { name, visible } from './text-option.ts';

const size = (fallback: string, description: string) => parsed(parseSizeBytes, meta(description)).prefault(fallback);

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
  tracing: z
    .strictObject({
      otlp: parsed(
        parseBaseUrl,
        meta(
          'Base URL of an OTLP/HTTP receiver, for example `http://127.0.0.1:4318`; spans go to `/v1/traces` under it',
        ),
      ),
      sample: z
        .number()
        .min(0)
        .max(1)
        .default(0.1)
        .meta(
          meta('Share of the calls to record, from 0 to 1; a caller that sends `traceparent` decides for its calls'),
        ),
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
    .meta(meta('Allow `POST /shutdown`, `GET /support` and buttons on the status page, on TCP admin listeners')),
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
