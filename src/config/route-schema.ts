/** Options of one of `routes`: a path prefix and the API behind it. */
import { z } from 'zod';
import { quota } from './caller-schema.ts';
import { meta, parsed } from './option.ts';
import { parseBaseUrl, parsePositiveDurationMs } from './parsers.ts';
import { routeHeaders } from './route-headers.ts';
import { tls } from './sources.ts';
import { name, scope, visible } from './text-option.ts';

/** At most 8 wildcards: each one costs a walk along the path of the request. */
const ALLOW = /^[A-Z*]+ \/[^\s?#*]*(?:\*\*?[^\s?#*]*){0,8}$/;

const ownLimit = (name: string) =>
  parsed(parsePositiveDurationMs, meta(`Replaces \`timeouts.${name}\` for this route`)).optional();

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
  timeouts: z
    .strictObject({ firstByte: ownLimit('firstByte'), idle: ownLimit('idle'), total: ownLimit('total') })
    .prefault({}),
  headers: routeHeaders,
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
