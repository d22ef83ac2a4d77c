/**
 * Checks one credential: the connection, the discovery document, every secret once, every token that a route needs, and
 * the claims of these tokens.
 */
import type { LoadedConfig } from '../config/load.ts';
import { type BaseUrl, parseBaseUrl } from '../config/parsers.ts';
import type { CredentialConfig } from '../config/schema.ts';
import type { Words } from '../core/failure.ts';
import type { Secret } from '../core/secret.ts';
import type { Leg } from '../net/place.ts';
import { assertionAudience } from '../oauth/client-auth.ts';
import type { TokenKey } from '../oauth/token.ts';
import { type Refusal, refusalWords } from '../oauth/token-errors.ts';
import type { RawResponse, TokenResponse } from '../oauth/token-response.ts';
import { assertionFindings } from './assertion.ts';
import { doubts, isLongLived } from './claims.ts';
import { clockFinding, discover, type Reading } from './discovery.ts';
import { FINDING, type Finding, shown } from './finding.ts';
import type { Connection } from './network.ts';
import { type Attempt, createApplicant, tryAll } from './secrets.ts';

export interface CredentialContext {
  readonly loaded: LoadedConfig;
  /** The tokens that routes need from this credential, each once. */
  readonly keys: readonly TokenKey[];
  readonly connect: (leg: Leg) => Promise<Connection>;
}

export interface Examined {
  readonly findings: readonly Finding[];
  /** The tokens obtained. */
  readonly tokens: ReadonlyMap<TokenKey, Secret>;
}

/** Requests real tokens. Never throws for anything a server or network does. */
export async function examineCredential(name: string, context: CredentialContext): Promise<Examined> {
  const findings: Finding[] = [];
  const tokens = new Map<TokenKey, Secret>();
  const settings = context.loaded.config.credentials[name];
  if (!settings) return { findings, tokens };
  const found = await locate(name, { ...context, settings, findings });
  if (!found) return { findings, tokens };
  findings.push(...(await assertionFindings(name, settings, context.loaded)));
  const applicant = createApplicant(name, { loaded: context.loaded, settings, ...found });
  try {
    const [first, ...others] = context.keys;
    const attempts = first ? await tryAll(applicant, first) : [];
    const working = attempts.find(({ response }) => response.kind === 'token');
    const further = working && (await Promise.all(others.map((key) => applicant.ask(working.secret, key))));
    const best = working ?? telling(attempts);
    for (const attempt of [best, ...(further ?? [])]) {
      if (!attempt) continue;
      if (attempt.response.kind === 'token') tokens.set(attempt.key, attempt.response.authorization);
      findings.push(...tokenFindings(attempt, { attempts, settings }));
    }
    if (working) findings.push(...refusedOnes(name, attempts, working));
    const readings = [found.reading, ...attempts.map(({ reading }) => reading)];
    findings.push(...clock(found.endpoint, readings, working !== undefined));
  } finally {
    await applicant.end();
  }
  return { findings, tokens };
}

interface Finder extends CredentialContext {
  readonly settings: CredentialConfig;
  /** The finder appends to it. */
  readonly findings: Finding[];
}

interface Located {
  readonly endpoint: BaseUrl;
  readonly jwksUri: string | undefined;
  readonly reading: Reading | undefined;
}

/** Finds the token endpoint, by discovery if needed, and connects to it. Undefined when that fails. */
async function locate(name: string, finder: Finder): Promise<Located | undefined> {
  const { settings, findings, loaded } = finder;
  const owner = `credential ${name}`;
  if (settings.tokenEndpoint) {
    const leg = { base: settings.tokenEndpoint, owner, option: 'tokenEndpoint' };
    const reached = await reach(name, leg, finder);
    return reached ? { endpoint: leg.base, jwksUri: undefined, reading: undefined } : undefined;
  }
  if (!settings.issuer) return undefined;
  const leg = { base: settings.issuer, owner, option: 'issuer' };
  if (!(await reach(name, leg, finder))) return undefined;
  const { finding, document, reading } = await discover(name, leg, loaded);
  findings.push(finding);
  if (!document) return undefined;
  const endpoint = parseBaseUrl(document.tokenEndpoint);
  const moved = endpoint.origin !== leg.base.origin;
  const option = 'the discovery document’s token_endpoint';
  if (moved && !(await reach(name, { base: endpoint, owner, option }, finder))) return undefined;
  return { endpoint, jwksUri: document.jwksUri, reading };
}

async function reach(name: string, leg: Leg, { connect, findings }: Finder): Promise<boolean> {
  const connection = await connect(leg);
  findings.push(...networkFindings(`network credential ${name} → ${leg.base.origin}`, connection));
  return connection.failed === undefined;
}

function networkFindings(subject: string, { failed, ...reached }: Connection): Finding[] {
  if (failed) return [FINDING.error(subject, 'TOKEN_UNAVAILABLE', failed)];
  const { summary = '', warning } = reached as { summary?: string; warning?: Words };
  return [FINDING.ok(subject, summary), ...(warning ? [FINDING.warning(subject, 'TOKEN_UNAVAILABLE', warning)] : [])];
}

/** Prefers a refusal for another reason than `invalid_client`, which means only that the secret is wrong. */
function telling(attempts: readonly Attempt[]): Attempt | undefined {
  return (
    attempts.find(({ response }) => response.kind !== 'token' && response.result !== 'invalid_client') ?? attempts[0]
  );
}

interface Around {
  readonly attempts: readonly Attempt[];
  readonly settings: CredentialConfig;
}

function tokenFindings(attempt: Attempt, around: Around): Finding[] {
  const { response, key, raw, secret } = attempt;
  const subject = `token ${key.credential}${key.scope === undefined ? '' : ` (${key.scope})`}`;
  if (response.kind !== 'token') return [refused(subject, attempt, response, around)];
  const issuer = around.settings.issuer?.text;
  const issued = { authorization: response.authorization, body: raw?.body ?? '', target: key, issuer, now: Date.now() };
  const note = isLongLived(issued) ? '; it lives longer than a day, so a stolen token works for long' : '';
  const message = `obtained with secret ${labelOf(secret)}, valid for ${response.lifetimeS} s${note}`;
  return [
    FINDING.ok(subject, message),
    ...doubts(issued).map((words) => FINDING.warning(subject, 'UPSTREAM_REFUSED_TOKEN', words)),
  ];
}

/** Leaves out the host: the finding's subject names it. */
function wordsOf(response: Refusal, raw: RawResponse | undefined): Words {
  const { cause, message, fix } = response.failure ?? refusalWords(response, raw);
  return { cause, message, fix };
}

function refused(subject: string, { raw }: Attempt, response: Refusal, { attempts, settings }: Around): Finding {
  const words = wordsOf(response, raw);
  const tried = attempts.map(({ secret }) => labelOf(secret)).join(', ');
  const code = response.kind === 'rejected' ? 'CREDENTIALS_REJECTED' : 'TOKEN_UNAVAILABLE';
  if (response.result !== 'invalid_client') return FINDING.error(subject, code, words);
  const message = `${words.message}; tried: secret ${tried}`;
  if (settings.auth === 'client_assertion_file') return FINDING.error(subject, code, { ...words, message, fix: TRUST });
  if (settings.auth !== 'private_key_jwt') return FINDING.error(subject, code, { ...words, message });
  const aud = shown(assertionAudience(settings));
  const fix = `${words.fix}; the assertion has aud ${aud}: if the server expects another aud, usually its issuer, set assertionAudience`;
  return FINDING.error(subject, code, { ...words, message, fix });
}

const TRUST =
  'let the client at the identity server trust issuer, subject and audience of the JWT as told above, character by character';

/** Warns of secrets that fail while another works: without the warning they show only when the working one is gone. */
function refusedOnes(name: string, attempts: readonly Attempt[], working: Attempt): Finding[] {
  const bad = attempts.filter(({ response }) => isInvalidClient(response));
  return bad.map(({ secret }) =>
    FINDING.warning(`secret ${name} ${secret.name}`, 'CREDENTIALS_REJECTED', {
      cause: 'secret_refused',
      message: `secret ${labelOf(secret)} is refused (invalid_client) although secret ${labelOf(working.secret)} works`,
      fix: 'replace it with a current one, or remove it from `secrets`: if the only other one expires, calls fail',
    }),
  );
}

function isInvalidClient(response: TokenResponse): boolean {
  return response.kind === 'rejected' && response.result === 'invalid_client';
}

function labelOf({ name, fingerprint }: { readonly name: string; readonly fingerprint: string }): string {
  return `${name} (fingerprint ${fingerprint})`;
}

function clock({ origin }: BaseUrl, readings: readonly (Reading | undefined)[], works: boolean): Finding[] {
  const reading = readings.find((one) => one?.date !== undefined);
  const finding = reading && clockFinding(new URL(origin).host, reading, works);
  return finding ? [finding] : [];
}
