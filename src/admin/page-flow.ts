/**
 * A diagram of the path of a call with the current state of each part: callers, sidecar, identity server, API. Shape,
 * sign and word repeat what the colour shows.
 */
import { type Html, html } from './html.ts';
import type { Status } from './status.ts';

type Look = 'good' | 'bad' | 'wait';
type Route = Status['routes'][number];

/** State of one part. */
interface Part {
  readonly look: Look;
  readonly says: string;
  readonly more?: string;
}

const SIGNS = { good: '✓', wait: '!', bad: '✕' } as const;

/** Returns the image with its text alternative. */
export function flow(status: Status): Html {
  const [sidecar, identity, api] = [sidecarPart(status), identityPart(status), apiPart(status)];
  const label = `Callers send calls to the sidecar: ${sidecar.says}. The sidecar gets tokens from the identity server: ${identity.says}${
    identity.more ? `, ${identity.more}` : ''
  }. The sidecar forwards calls to the API: ${api.says}${api.more ? `, ${api.more}` : ''}.`;
  return html`<figure class="flow"><svg role="img" aria-label="${label}" viewBox="0 0 320 166">
${box({ x: 1, y: 4, width: 84, height: 48 }, 'Callers', { look: sidecar.look, says: '' })}
${box({ x: 123, y: 4, width: 196, height: 48 }, 'Sidecar', sidecar)}
${box({ x: 1, y: 98, width: 152, height: 66 }, 'Identity server', identity)}
${box({ x: 167, y: 98, width: 152, height: 66 }, status.routes.length === 1 ? 'API' : 'APIs', api)}
${arrow(sidecar.look, 'M85 28H115', 'M115 23l8 5l-8 5z', [101, 28])}
${arrow(identity.look, 'M138 52V90', 'M133 90l5 8l5-8z', [138, 71])}<text class="soft" x="126" y="75" text-anchor="end">tokens</text>
${arrow(api.look, 'M243 52V90', 'M238 90l5 8l5-8z', [243, 71])}<text class="soft" x="255" y="75">calls</text></svg></figure>`;
}

interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

function box({ x, y, width, height }: Box, name: string, { look, says, more }: Part): Html {
  const middle = x + width / 2;
  const line = (row: number, text: string, kind: string) =>
    html`<text class="${kind}" x="${middle}" y="${y + 20 + row * 18}" text-anchor="middle">${text}</text>`;
  const lines = [line(0, name, 'name'), says && line(1, `${SIGNS[look]} ${says}`, look), more && line(2, more, 'soft')];
  return html`<rect class="box ${look}" x="${x}" y="${y}" width="${width}" height="${height}" rx="6"/>${lines.map((one) => one || false)}`;
}

/** Solid when it works, dashed with a problem, crossed out when nothing gets through. */
function arrow(look: Look, shaft: string, head: string, [x, y]: readonly [number, number]): Html {
  const cross = look === 'bad' && html`<path class="cross bad" d="M${x - 6} ${y - 6}l12 12m0-12l-12 12"/>`;
  return html`<path class="shaft ${look}" d="${shaft}"/><path class="head ${look}" d="${head}"/>${cross}`;
}

function sidecarPart({ draining, listening, audit }: Status): Part {
  if (draining) return { look: 'wait', says: 'is stopping' };
  if (!listening) return { look: 'bad', says: 'is starting' };
  if (audit?.failing === undefined) return { look: 'good', says: 'accepts calls' };
  return audit.whenFailing === 'refuse'
    ? { look: 'bad', says: 'refuses changes: audit log' }
    : { look: 'wait', says: 'audit log fails' };
}

function identityPart({ credentials }: Status): Part {
  const tokens = credentials.flatMap((credential) => credential.tokens);
  const missing = tokens.filter((token) => !isUsable(token));
  const failing = tokens.filter(({ consecutiveFailures }) => consecutiveFailures > 0);
  if (missing.some((token) => failing.includes(token))) return { look: 'bad', says: 'no valid token' };
  if (missing.length > 0) return { look: 'wait', says: 'fetching a token' };
  const [first] = tokens.flatMap(({ expiresAt = [] }) => expiresAt).sort();
  const more = first === undefined ? {} : { more: `valid until ${first.slice(11, 16)} UTC` };
  return failing.length > 0
    ? { look: 'wait', says: 'refresh fails', ...more }
    : { look: 'good', says: 'token valid', ...more };
}

function apiPart(status: Status): Part {
  const { routes } = status;
  const own = (state: Route['verdict']['state']) =>
    routes.filter((route) => route.verdict.state === state && isOfApi(route, status));
  const [fail, warn] = [own('fails'), own('warning')];
  const of = ({ length }: readonly Route[]) => (routes.length === 1 ? 'calls' : `${length} of ${routes.length} routes`);
  if (fail.length > 0)
    return { look: 'bad', says: routes.length === 1 ? 'calls fail' : `${of(fail)} fail`, ...names(fail) };
  if (routes.every(({ verdict }) => verdict.state === 'fails')) return { look: 'wait', says: 'no calls reach it' };
  if (warn.length > 0)
    return { look: 'wait', says: routes.length === 1 ? 'some calls fail' : `errors on ${of(warn)}`, ...names(warn) };
  return { look: 'good', says: 'no problem known' };
}

function names([first, ...more]: readonly Route[]): { readonly more?: string } {
  if (first === undefined) return {};
  const path = first.path.length > 16 ? `${first.path.slice(0, 15)}…` : first.path;
  return { more: more.length > 0 ? `${path} and ${more.length} more` : path };
}

const OWN_CAUSES: ReadonlySet<string> = new Set(['draining', 'starting', 'audit_failing']);
const TOKEN_CAUSES: ReadonlySet<string> = new Set(['token_unavailable', 'credentials_rejected']);

/** True if the problem of a route is neither in the sidecar nor at the identity server. */
function isOfApi({ verdict, credential, scope }: Route, { credentials }: Status): boolean {
  const { cause = '', state } = verdict;
  if (OWN_CAUSES.has(cause) || TOKEN_CAUSES.has(cause)) return false;
  const tokens = credentials.find(({ name }) => name === credential)?.tokens ?? [];
  const token = tokens.find((one) => one.scope === scope);
  if (token === undefined || token.consecutiveFailures === 0) return true;
  return (state === 'fails') === isUsable(token);
}

function isUsable({ state }: { readonly state: string }): boolean {
  return state === 'fresh' || state === 'early';
}
