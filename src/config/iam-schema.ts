/**
 * The options for Aritma IAM: its URL, its credential, and how secrets are rotated.
 */
import { z } from 'zod';
import { timeMeant } from '../core/units.ts';
import { duration, meta, parsed } from './option.ts';
import { parseBaseUrl } from './parsers.ts';

const DAY_MS = 86_400_000;
const UNIT_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: DAY_MS };

/** Parses a duration of up to ten years that is never used for a single timer: `15m`, `60d` → milliseconds. */
export function parseAgeMs(text: string): number {
  const [, count, unit = ''] = /^(\d{1,9})(s|m|h|d)$/.exec(text) ?? [];
  const ms = Number(count) * (UNIT_MS[unit] ?? 0);
  if (ms > 0 && ms <= 3650 * DAY_MS) return ms;
  throw new Error(`must be a whole number with a unit: 10s, 15m, 1h or 60d, at most 3650d${timeMeant(text)}`);
}

const age = (fallback: string, description: string) => parsed(parseAgeMs, meta(description)).prefault(fallback);

export const IamSchema = z
  .strictObject({
    url: parsed(parseBaseUrl, meta('Base URL of Aritma IAM, without `/v1`')),
    credential: z
      .string()
      .min(1)
      .optional()
      .meta(
        meta('Credential with IAM rights, for `rotation`, expiry of secrets and commands (which else use `default`)'),
      ),
    scope: z.string().min(1).default('services.iam').meta(meta('Scope of tokens for IAM')),
    timeout: duration('15s', 'Total time for one request to IAM'),
  })
  .optional();

/** Rules of Kubernetes for names (RFC 1123 subdomain) and for keys of a Secret. */
const DNS_NAME = /^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/;
const SECRET_KEY = /^[A-Za-z0-9._-]{1,200}$/;

const LEAST_KUBERNETES_OVERLAP_MS = 300_000;

const kubernetesSecret = z
  .strictObject({
    secret: z.string().regex(DNS_NAME, 'must be the name of a Secret').meta(meta('Name of the Kubernetes Secret')),
    key: z.string().regex(SECRET_KEY, 'must be a key of the Secret').meta(meta('Key in it with the client secret')),
    namespace: z
      .string()
      .regex(DNS_NAME, 'must be the name of a namespace')
      .optional()
      .meta(meta('Its namespace; absent = the namespace of the pod')),
  })
  .optional();

export const RotationSchema = z
  .strictObject({
    every: parsed(
      parseAgeMs,
      meta('Rotate automatically this long after the last rotation; absent = only by `rotate`'),
    ).optional(),
    secretLifetime: age('90d', 'Lifetime of a new secret; must be longer than `every` + `overlap`'),
    overlap: age(
      '1h',
      'The old secret stays valid this long after the new one is stored, so that every reader picks up the new one',
    ),
    verifyFor: duration(
      '15m',
      'How long to retry while the identity server refuses the new secret; then it is deleted',
    ),
    journal: z
      .string()
      .min(1)
      .optional()
      .meta(meta('File with the progress of a rotation; default: the name of the secret file + `.rotation`')),
    kubernetes: kubernetesSecret,
    exec: z
      .array(z.string().min(1))
      .min(1)
      .optional()
      .meta(meta('Program and arguments that store a new secret; it gets JSON on standard input; needs `journal`')),
  })
  .refine(({ kubernetes, exec }) => kubernetes === undefined || exec === undefined, {
    message: 'has kubernetes and exec; set only one: the new secret is stored in one place',
  })
  .refine(({ exec, journal }) => exec === undefined || journal !== undefined, {
    message: 'is required with exec: it keeps the new secret until the program has stored it',
    path: ['journal'],
  })
  .refine(({ every = 0, overlap, secretLifetime }) => every + overlap < secretLifetime, {
    message: 'must be longer than `every` plus `overlap`, or a secret expires before it is replaced',
    path: ['secretLifetime'],
  })
  .refine(({ kubernetes, overlap }) => kubernetes === undefined || overlap >= LEAST_KUBERNETES_OVERLAP_MS, {
    message: 'must be at least 5m with kubernetes: a mounted Secret changes up to two minutes later',
    path: ['overlap'],
  })
  .refine(({ every, overlap }) => every === undefined || overlap < every, {
    message: 'must be shorter than every',
    path: ['overlap'],
  })
  .optional();
