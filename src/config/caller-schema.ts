/**
 * The options of callers: their limits and keys. All callers, a single caller and a route have the same kind of limits.
 */
import { z } from 'zod';
import { meta } from './option.ts';

const METHOD = /^[A-Z]+$/;

const rate = (what: string) => ({
  inFlight: z
    .int()
    .min(1)
    .optional()
    .meta(meta(`Most ${what} at the same time; absent = no limit`)),
  requestsPerMinute: z
    .int()
    .min(1)
    .optional()
    .meta(meta(`Most ${what} in any minute, with \`fleet\` those of all members together; absent = no limit`)),
});

const method = z.string().regex(METHOD, 'must be a method in capitals, for example POST');

/** Limits of all requests, and extra limits of single methods: `methods.POST` limits payments. */
export const quota = z
  .strictObject({
    ...rate('requests'),
    methods: z.record(method, z.strictObject(rate('requests with this method'))).optional(),
  })
  .prefault({});

/** Schema of one caller: only its keys, or keys and own limits. @param keys the schema of a list of keys */
export const callerSchema = <Keys extends z.ZodType>(keys: Keys) =>
  z.union(
    [
      keys.transform((secrets) => ({ secrets, limits: quota.parse({}) })),
      z.strictObject({
        secrets: keys.meta(meta('Keys of the caller; more than one during a key change')),
        limits: quota,
      }),
    ],
    { error: 'must be a list of keys, or have secrets and limits' },
  );
