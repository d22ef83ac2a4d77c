// How the emulated IAM API behaves where the real one is not documented: both known possibilities, to be switched at
// the start or while it runs.
import { z } from 'zod';

const FULL_SCHEMA = z.strictObject({
  /** Whether a creation returns what was created, or nothing. */
  createResponse: z.enum(['body', 'empty']),
  /** Whether the same policy again is fine or a 409. */
  duplicatePolicy: z.enum(['ok', 'conflict']),
  /** Seconds for which the token endpoint keeps a client once loaded; 0 = not at all. */
  clientCacheS: z.number().min(0).max(86_400),
});

/** What `PUT /_emulator/iam` accepts; what is left out stays as it is. */
export const SETTINGS_SCHEMA = FULL_SCHEMA.partial();

export type IamSettings = z.infer<typeof FULL_SCHEMA>;
export type SettingsChange = z.infer<typeof SETTINGS_SCHEMA>;

/** Creates the settings in force, to be changed in place. */
export function createSettings({ createResponse, duplicatePolicy, clientCacheS }: SettingsChange = {}): IamSettings {
  return {
    createResponse: createResponse ?? 'body',
    duplicatePolicy: duplicatePolicy ?? 'ok',
    clientCacheS: clientCacheS ?? 0,
  };
}
