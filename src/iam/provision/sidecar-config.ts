/**
 * Builds the configuration of a sidecar that uses a provisioned client. `loadConfig` accepts a document without
 * problems.
 */

import { wording } from '../../config/issues.ts';
import { type Doc, isDoc, layer } from '../../config/layers.ts';
import { checkRules, validParts } from '../../config/rules.ts';
import { ConfigSchema } from '../../config/schema.ts';
import { allowedKeys } from '../../config/schema-path.ts';

export interface SidecarDocument {
  readonly document: Doc;
  /** What to correct under `sidecar`, by path below it. */
  readonly problems: readonly { readonly path: readonly PropertyKey[]; readonly message: string }[];
}

/** The part of a provisioned client that its sidecar needs. */
interface Provisioned {
  readonly client: { readonly scopes: readonly string[] };
  readonly secret: { readonly file: string };
  readonly sidecar: Doc;
}

/** Returns the options under `sidecar`, with this client as credential `default`. */
export function sidecarDocument({ client, secret, sidecar }: Provisioned, clientId: string): SidecarDocument {
  const credentials = asDoc(sidecar['credentials']);
  const own = {
    clientId,
    secrets: [{ file: secret.file }],
    // One token for both APIs, with no more rights than they need.
    scope: client.scopes.includes('api') ? 'api' : client.scopes.join(' '),
  };
  const document = {
    ...sidecar,
    credentials: { ...credentials, default: { ...own, ...asDoc(credentials['default']), ...identityOf(own) } },
  };
  const layered = layer(document, []);
  const problems = (ConfigSchema.safeParse(layered, { error: wording }).error?.issues ?? []).flatMap(problemsOf);
  checkRules(validParts(layered), (path, message) => void problems.push({ path, message }));
  return { document, problems };
}

/** Provisioning sets these two itself, whatever the file says. */
const identityOf = ({ clientId, secrets }: { clientId: string; secrets: readonly object[] }) => ({ clientId, secrets });

type Issue = NonNullable<ReturnType<typeof ConfigSchema.safeParse>['error']>['issues'][number];

function problemsOf(issue: Issue): SidecarDocument['problems'][number][] {
  if (issue.code !== 'unrecognized_keys') return [{ path: issue.path, message: issue.message }];
  const allowed = allowedKeys(issue.path).join(', ');
  return issue.keys.map((key) => ({ path: [...issue.path, key], message: `unknown option; allowed here: ${allowed}` }));
}

function asDoc(value: unknown): Doc {
  return isDoc(value) ? value : {};
}
