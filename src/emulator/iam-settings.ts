// How the emulated IAM API behaves where the real one is not documented: both known possibilities, to be switched at
// the start or while it runs. Also what it takes for the samples of the documentation, which no real server would.
import { z } from 'zod';

const FULL_SCHEMA = z.strictObject({
  /** Whether a creation returns what was created, or nothing. */
  createResponse: z.enum(['body', 'empty']),
  /** Whether the same policy again is fine or a 409. */
  duplicatePolicy: z.enum(['ok', 'conflict']),
  /** Seconds for which the token endpoint keeps a client once loaded; 0 = not at all. */
  clientCacheS: z.number().min(0).max(86_400),
  /** Whether the values of the documentation's samples pass: expirations of the past, any subject, `SAMPLES.token`. */
  lenient: z.boolean(),
});

/** What `PUT /_emulator/iam` accepts; what is left out stays as it is. */
export const SETTINGS_SCHEMA = FULL_SCHEMA.partial();

export type IamSettings = z.infer<typeof FULL_SCHEMA>;
export type SettingsChange = z.infer<typeof SETTINGS_SCHEMA>;

/** Creates the settings in force, to be changed in place. */
export function createSettings(change: SettingsChange = {}): IamSettings {
  const { createResponse, duplicatePolicy, clientCacheS, lenient } = change;
  return {
    createResponse: createResponse ?? 'body',
    duplicatePolicy: duplicatePolicy ?? 'ok',
    clientCacheS: clientCacheS ?? 0,
    lenient: lenient ?? false,
  };
}

/** What the curl lines of the public pages say; curl reads `{clientId}` in a URL as the one alternative `clientId`. */
export const SAMPLES = {
  token: '<YOUR_TOKEN_HERE>',
  /** Where they find the IAM API on their host. */
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
