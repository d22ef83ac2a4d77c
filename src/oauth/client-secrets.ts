/**
 * What a credential authenticates with, ready to use: its secrets or keys, or the assertion in its file.
 */
import type { CredentialConfig } from '../config/schema.ts';
import type { LoadedSecret } from '../config/secret-files.ts';
import { CLIENT_AUTH, setAssertion } from './client-auth.ts';
import type { ClientSecret } from './secret-failover.ts';

export interface Surroundings {
  /** Returns the absolute path of a configured file name. */
  readonly resolve: (file: string) => string;
  /** Epoch ms. */
  readonly now: () => number;
}

/**
 * Returns the client secrets in the order to try them.
 * @param sources what was read for `secrets`
 * @example
 * const [first] = clientSecretsOf(settings, loaded.secrets.get('default') ?? [], { resolve, now: Date.now });
 */
export function clientSecretsOf(
  { auth, clientId, assertion }: CredentialConfig,
  sources: readonly LoadedSecret[],
  { resolve, now }: Surroundings,
): ClientSecret[] {
  if (auth === 'client_assertion_file') return assertion ? [fromFile(clientId, resolve(assertion.file), now)] : [];
  return sources.map(({ name, value, kid, alg }) => ({
    name,
    fingerprint: value.fingerprint(),
    authenticate: CLIENT_AUTH[auth]({ clientId, secret: value, kid, alg }),
  }));
}

/** An expiry that is older is read again when somebody asks for it: between token requests, the file is renewed. */
const EXPIRY_MS = 10_000;

/** Reads the file at each request, and loads the code for that at the first one. */
function fromFile(clientId: string, path: string, now: () => number): ClientSecret {
  let fingerprint = 'not read yet';
  let expiry: number | undefined;
  let lookedAt = 0;
  const look = async () => {
    lookedAt = now();
    const { readAssertion } = await import('./assertion-file.ts');
    const read = await readAssertion(path, now());
    if ('assertion' in read) expiry = read.assertion.expiresAt;
    return read;
  };
  return {
    name: 'assertion',
    // Not only the digits: members of a fleet compare the digits of secrets, and each may have an assertion of its own.
    get fingerprint() {
      return `JWT ${fingerprint}`;
    },
    async authenticate({ form }) {
      const read = await look();
      if ('failed' in read) return read.failed;
      const { jwt } = read.assertion;
      fingerprint = jwt.fingerprint();
      setAssertion(form, clientId, jwt);
      return undefined;
    },
    expiresAt() {
      if (Math.abs(now() - lookedAt) >= EXPIRY_MS) void look();
      return expiry;
    },
  };
}
