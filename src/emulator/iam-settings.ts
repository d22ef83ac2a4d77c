// Settings of the emulated IAM API where the real one is not documented: both known behaviours, switchable at the start
// or while it runs. Also accepts the samples of the documentation, which no real server would.
import { z } from 'zod';

const FULL_SCHEMA = z.strictObject({
  /** Whether the response to a creation has the new item or no body. */
  createResponse: z.enum(['body', 'empty']),
  /** Whether creating an existing policy succeeds or gives 409. */
  duplicatePolicy: z.enum(['ok', 'conflict']),
  /** Seconds for which the token endpoint caches a client; 0 = not at all. */
  clientCacheS: z.number().min(0).max(86_400),
  /** Whether the documentation's samples work: past expirations, any subject, `SAMPLES.token`. */
  lenient: z.boolean(),
});

/** The body of `PUT /_emulator/iam`; fields left out stay unchanged. */
export const SETTINGS_SCHEMA = FULL_SCHEMA.partial();

export type IamSettings = z.infer<typeof FULL_SCHEMA>;
export type SettingsChange = z.infer<typeof SETTINGS_SCHEMA>;

/** Creates the current settings, to be changed in place. */
export function createSettings(change: SettingsChange = {}): IamSettings {
  const { createResponse, duplicatePolicy, clientCacheS, lenient } = change;
  return {
    createResponse: createResponse ?? 'body',
    duplicatePolicy: duplicatePolicy ?? 'ok',
    clientCacheS: clientCacheS ?? 0,
    lenient: lenient ?? false,
  };
}

/** Values in the curl samples of the public pages. curl expands `{clientId}` in a URL to `clientId`. */
export const SAMPLES = {
  token: '<YOUR_TOKEN_HERE>',
  /** Path of the IAM API on the samples' host. */
  prefix: '/_mock/apis/platform/iam/openapi/iam-openapi/v1',
  clients: [
    sampleClient('clientId', 'clientSecretId', 'value-of-the-sample'),
    sampleClient('my-backend-service', 'my-backend-secret', 'abc123xyz...'),
  ],
};

function sampleClient(clientId: string, clientSecretId: string, value: string) {
  const description = 'Of the samples in the documentation';
  const grants = { allowedGrantTypes: ['client_credentials'], allowedScopes: ['api'], redirectUris: [] };
  return { clientId, name: clientId, description, ...grants, secrets: [{ clientSecretId, value, description }] };
}
