/**
 * The part of the option table that is about Aritma IAM: where it is, who may use it, and how secrets are rotated.
 */
import { z } from 'zod';
import { timeMeant } from '../core/units.ts';
import { duration, meta, parsed } from './option.ts';
import { parseBaseUrl } from './parsers.ts';

const DAY_MS = 86_400_000;
const UNIT_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: DAY_MS };

/** What lasts weeks or months, and is never the length of one timer: `15m`, `60d` → milliseconds. */
export function parseAgeMs(text: string): number {
  const [, count, unit = ''] = /^(\d{1,9})(s|m|h|d)$/.exec(text) ?? [];
  const ms = Number(count) * (UNIT_MS[unit] ?? 0);
  if (ms > 0 && ms <= 3650 * DAY_MS) return ms;
  throw new Error(`must be a whole number with a unit: 10s, 15m, 1h or 60d; at most 3650d${timeMeant(text)}`);
}

const age = (fallback: string, description: string) => parsed(parseAgeMs, meta(description)).prefault(fallback);

export const IamSchema = z
  .strictObject({
    url: parsed(parseBaseUrl, meta('Base URL of Aritma IAM, what stands before `/v1`')),
    credential: z
      .string()
      .min(1)
      .optional()
      .meta(
        meta('Credential with IAM rights, for `rotation` and to read when secrets expire; commands else use `default`'),
      ),
    scope: z.string().min(1).default('services.iam').meta(meta('Scope of its tokens')),
    timeout: duration('15s', 'Total time for one request to IAM'),
  })
  .optional();

/** Kubernetes' own rules for names (RFC 1123 subdomain) and for keys of a Secret. */
const DNS_NAME = /^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/;
const SECRET_KEY = /^[A-Za-z0-9._-]{1,200}$/;

const LEAST_KUBERNETES_OVERLAP_MS = 300_000;

const kubernetesSecret = z
  .strictObject({
    secret: z.string().regex(DNS_NAME, 'must be the name of a Secret').meta(meta('Name of the Kubernetes Secret')),
    key: z.string().regex(SECRET_KEY, 'must be a key of the Secret').meta(meta('Its key that holds the client secret')),
    namespace: z
      .string()
      .regex(DNS_NAME, 'must be the name of a namespace')
      .optional()
      .meta(meta('Its namespace; absent = the pod’s own')),
  })
  .optional();

export const RotationSchema = z
  .strictObject({
    every: parsed(
      parseAgeMs,
      meta('Rotate by itself this long after the last time; absent = only by `rotate`'),
    ).optional(),
    secretLifetime: age('90d', 'When a new secret expires; must be longer than `every` and `overlap` together'),
    overlap: age('1h', 'The old secret stays valid this long after the new one is in place, for everybody to notice'),
    verifyFor: duration('15m', 'How long the identity server may refuse a new secret before it is given up'),
    journal: z
      .string()
      .min(1)
      .optional()
      .meta(meta('File that remembers where a rotation is; default: the secret file’s name and `.rotation`')),
    kubernetes: kubernetesSecret,
    exec: z
      .array(z.string().min(1))
      .min(1)
      .optional()
      .meta(meta('Program and arguments that store a new secret: gets it as JSON on standard input; needs `journal`')),
  })
  .refine(({ kubernetes, exec }) => kubernetes === undefined || exec === undefined, {
    message: 'has kubernetes and exec; the new secret has one place to go',
  })
  .refine(({ exec, journal }) => exec === undefined || journal !== undefined, {
    message: 'is required with exec: the new secret is kept there until it is stored',
    path: ['journal'],
  })
  .refine(({ every = 0, overlap, secretLifetime }) => every + overlap < secretLifetime, {
    message: 'must be longer than every and overlap together, or a secret expires before it is replaced',
    path: ['secretLifetime'],
  })
  .refine(({ kubernetes, overlap }) => kubernetes === undefined || overlap >= LEAST_KUBERNETES_OVERLAP_MS, {
    message: 'must be at least 5m with kubernetes: mounted Secrets change up to two minutes after the Secret',
    path: ['overlap'],
  })
  .refine(({ every, overlap }) => every === undefined || overlap < every, {
    message: 'must be shorter than every',
    path: ['overlap'],
  })
  .optional();
