/** Checks the client assertion in a file: who issued it, for whom, and how long it is valid; never its signature. */
import type { LoadedConfig } from '../config/load.ts';
import type { CredentialConfig } from '../config/schema.ts';
import { FINDING, type Finding, shown } from './finding.ts';

/** A token that lives shorter than that may end before the request with it arrives. */
const SOON_MS = 60_000;
const REQUEST = 'a token request';

/** Returns nothing for a credential without one. */
export async function assertionFindings(
  name: string,
  { assertion, issuer, tokenEndpoint }: CredentialConfig,
  { resolve }: Pick<LoadedConfig, 'resolve'>,
): Promise<Finding[]> {
  if (!assertion) return [];
  const { readAssertion } = await import('../oauth/assertion-file.ts');
  const now = Date.now();
  const read = await readAssertion(resolve(assertion.file), now);
  // The token request fails with the same words.
  if ('failed' in read) return [];
  const { expiresAt, issuer: iss, subject, audience } = read.assertion;
  const who = `issued by ${quoted(iss)} for ${quoted(subject)}, audience ${audience.map(quoted).join(', ') || 'none'}`;
  const leftS = expiresAt === undefined ? undefined : Math.round((expiresAt - now) / 1000);
  const life = leftS === undefined ? 'without an expiry' : `expires in ${leftS} s`;
  const told = `the JWT is ${who}; ${life}`;
  const servers = [issuer?.text, tokenEndpoint?.text].flatMap((text) => text ?? []);
  const isForServer = audience.some((one) => servers.some((server) => sameUrl(one, server)));
  const note = isForServer ? '' : `; its audience is not the URL of the server (${servers.join(', ')}): some want that`;
  const subjectOf = `assertion ${name}`;
  if (leftS !== undefined && leftS * 1000 >= SOON_MS) return [FINDING.ok(subjectOf, told + note)];
  const why = leftS === undefined ? 'servers refuse that (RFC 7523)' : `${REQUEST} with it may come too late`;
  return [
    FINDING.warning(subjectOf, 'TOKEN_UNAVAILABLE', {
      cause: leftS === undefined ? 'assertion_without_expiry' : 'assertion_expires_soon',
      message: `${told}: ${why}${note}`,
      fix: 'let what writes the file renew it earlier, with a longer life',
    }),
  ];
}

function quoted(text: string | undefined): string {
  return text === undefined ? 'nobody' : `"${shown(text)}"`;
}

function sameUrl(one: string, other: string): boolean {
  return one.replace(/\/$/, '') === other.replace(/\/$/, '');
}
