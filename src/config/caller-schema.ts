/**
 * The part of the option table on callers: how much one may do, and by which keys it is known. The same shape of limits serves
 * for all callers, for one of them, and for a route.
 */
import { z } from 'zod';
import { meta } from './option.ts';

const METHOD = /^[A-Z]+$/;

const rate = (what: string) => ({
  inFlight: z
    .int()
    .min(1)
    .optional()
    .meta(meta(`${what} at a time at most; absent = no limit`)),
  requestsPerMinute: z
    .int()
    .min(1)
    .optional()
    .meta(meta(`${what} in any minute at most; absent = no limit`)),
});

const method = z.string().regex(METHOD, 'must be a method in capitals, for example POST');

/** Counted together, and those of some methods also apart: with `methods.POST`, payments. */
export const quota = z
  .strictObject({
    ...rate('Requests'),
    methods: z.record(method, z.strictObject(rate('Those by this method'))).optional(),
  })
  .prefault({});

/** One caller: its keys alone, or with limits of its own. @param keys the schema of a list of keys */
export const callerSchema = <Keys extends z.ZodType>(keys: Keys) =>
  z.union(
    [
      keys.transform((secrets) => ({ secrets, limits: quota.parse({}) })),
      z.strictObject({ secrets: keys.meta(meta('Its keys; several while a key is being changed')), limits: quota }),
    ],
    { error: 'must be a list of keys, or have secrets and limits' },
  );
