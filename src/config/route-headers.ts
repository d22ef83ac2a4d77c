/**
 * `routes[].headers`: fields that a route adds to its requests, and the names that it must not have. A refused name would
 * break the framing, weaken a protection, or be untrue for most calls.
 */
import { z } from 'zod';
import { meta } from './option.ts';

/** A header field that a route adds. */
export interface RouteHeader {
  readonly value: string;
  /** Whether it replaces the caller's own field; otherwise the caller's own field wins. */
  readonly override: boolean;
}

/** Many servers accept 8 KiB for all fields of a request. */
const MAX_HEADERS = 16;
const MAX_NAME_CHARS = 64;
const MAX_VALUE_CHARS = 512;

/** RFC 9110 §5.6.2. */
const TOKEN = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/;
/** RFC 9110 §5.5, without obs-text. */
const FIELD_VALUE = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/;
const CREDENTIAL = /^(?:basic|bearer|dpop|digest|negotiate|ntlm) |(?:^|[ =])eyJ[\w-]{5,}\.[\w-]+\.|-----BEGIN /i;
const SECRET_NAME = /token|secret|passw|credential|(?:api|access|auth|functions?|subscription)-?key$/;

/** Refused names, in the form of `plain`, with the reason. The first match counts. */
const REFUSED: readonly (readonly [names: RegExp, why: string])[] = [
  [/^authorization$/, 'the sidecar sets it to the access token; to call without one, use no sidecar'],
  [/^cookie2?$/, 'a cookie belongs to a session, and its value is a secret'],
  [/^host$/, 'it comes from `upstream`'],
  [/^(?:content-length|transfer-encoding|trailer|te)$/, 'it frames the message (RFC 9112 §6), which the sidecar does'],
  [
    /^(?:connection|keep-alive|upgrade|http2-settings|proxy-.*)$/,
    'it is for one connection or for a proxy (RFC 9110 §7.6.1); for WebSockets set `upgrade: true`',
  ],
  [/^sec-.*$/, 'it belongs to a WebSocket handshake or to a browser'],
  [/^expect$/, 'the sidecar responds to it itself (RFC 9110 §10.1.1)'],
  [/^max-forwards$/, 'it counts the proxies that one call has passed (RFC 9110 §7.6.2)'],
  [
    /^(?:via|forwarded|x-forwarded.*|x-real-ip)$/,
    'it says where one call comes from, so a fixed value would be untrue',
  ],
  [/^psu-.*$/, 'it tells the bank about the user who makes one call, which only the ERP knows'],
  [/^x-sidecar-.*$/, 'the sidecar uses it itself'],
  [/^x-request-id$/, 'it differs for each call; the sidecar adds one'],
  [
    /^x?-?idempotency-key$/,
    'with one key for all payments, the API would execute only the first; use `idempotency: inject`',
  ],
  [
    /^x-(?:http-method-override|http-method|method-override|original-url|rewrite-url|original-uri)$/,
    'it would change method or path after `allow` has checked them',
  ],
  [/^(?:traceparent|tracestate)$/, 'it differs for each call (W3C Trace Context)'],
  [/^content-.*$/, 'it describes the body of one call, which only the caller knows'],
  [/^(?:range|if-.*)$/, 'it is a condition on one resource (RFC 9110 §13), so responses would be incomplete or empty'],
];

/** Lower case, and as CGI-style servers see it: to them `Content_Length` and `Content-Length.` are `Content-Length`. */
const plain = (name: string) =>
  name
    .toLowerCase()
    .match(/[a-z0-9]+/g)
    ?.join('-') ?? '';

const headerName = z.string().superRefine((name, context) => {
  const message = whyNot(name);
  if (message !== undefined) context.addIssue({ code: 'custom', message });
});

function whyNot(name: string): string | undefined {
  if (!TOKEN.test(name)) return 'is not the name of a header: use letters, digits and - (RFC 9110 §5.6.2)';
  if (name.length > MAX_NAME_CHARS) return `is too long for a name: at most ${MAX_NAME_CHARS} characters`;
  const known = plain(name);
  const [, why] = REFUSED.find(([names]) => names.test(known)) ?? [];
  return why && `cannot be added by a route: ${why}`;
}

const headerValue = z.string().superRefine((value, context) => {
  const message = whyNotValue(value);
  if (message !== undefined) context.addIssue({ code: 'custom', message });
});

function whyNotValue(value: string): string | undefined {
  if (value.length > MAX_VALUE_CHARS) return `must be at most ${MAX_VALUE_CHARS} characters long`;
  if (!FIELD_VALUE.test(value))
    return 'must be printable ASCII, not empty, without a space at its ends (RFC 9110 §5.5)';
  if (!CREDENTIAL.test(value)) return undefined;
  return 'looks like a token, a password or a key: values are not secrets, because /status shows them. The sidecar sends the token itself';
}

const WRITTEN = 'must be text in quotes, or a mapping of value and override';
const header = z
  .union(
    [
      headerValue.transform((value): RouteHeader => ({ value, override: false })),
      z.strictObject({
        value: headerValue.meta(meta('Value to send, not a secret; `Name: "value"` is short for it')),
        override: z
          .boolean()
          .default(false)
          .meta(meta("true: replaces the caller's own header; false: the caller's own one wins")),
      }),
    ],
    // Without this, the message of a union says only that no alternative fits.
    { error: ({ input }) => (typeof input === 'string' ? whyNotValue(input) : isMapping(input) ? undefined : WRITTEN) },
  )
  .meta(meta('Header that the route adds to its requests, for example `Subscription-Id`'));

function isMapping(input: unknown): boolean {
  return typeof input === 'object' && input !== null && !Array.isArray(input);
}

/** The schema of `routes[].headers`. */
export const routeHeaders = z
  .record(headerName, header)
  .superRefine((headers, context) => {
    const seen = new Set<string>();
    for (const name of Object.keys(headers)) {
      const message = 'occurs twice: header names differ neither in case nor in `-` and `_`; keep one';
      if (seen.has(plain(name))) context.addIssue({ code: 'custom', message, path: [name] });
      seen.add(plain(name));
    }
    if (seen.size > MAX_HEADERS) context.addIssue({ code: 'custom', message: `has more than ${MAX_HEADERS} headers` });
  })
  .default({});

/** Names that usually have a secret as value; a warning, because `X-CSRF-Token: fetch` is none. */
export function secretLooking(headers: Readonly<Record<string, RouteHeader>>): string[] {
  return Object.keys(headers).filter((name) => SECRET_NAME.test(plain(name)));
}
