/**
 * The sections of the status page below the summary; this file has credentials and configuration.
 */
import { sentence } from '../core/failure.ts';
import { explain } from './error-text.ts';
import { type Html, html, type Part } from './html.ts';
import { errors, unknownOutcomes } from './page-errors.ts';
import { badge, section, table } from './page-parts.ts';
import { routes } from './page-routes.ts';
import { moment, roughly } from './page-time.ts';
import { rotationPhases, tokenLife } from './page-timelines.ts';
import type { Status } from './status.ts';

type Credential = Status['credentials'][number];
type Token = Credential['tokens'][number];

function list(items: readonly string[], none: string): Html {
  return items.length === 0 ? html`${none}` : html`<ul>${items.map((item) => html`<li>${item}</li>`)}</ul>`;
}

/**
 * Renders all sections, the most important first.
 * @param options.actions whether each credential has a button to refresh its token
 */
export function sections(status: Status, options: { readonly actions: boolean }): Html {
  return html`${[
    routes(status),
    unknownOutcomes(status),
    errors(status),
    credentials(status, options),
    fleet(status),
    configuration(status),
  ]}`;
}

function credentials(status: Status, { actions }: { readonly actions: boolean }): Html {
  return section(
    'credentials',
    'Credentials',
    status.credentials.map(
      (
        credential,
      ) => html`<article><h3>${credential.name}</h3> <span>client id <code>${credential.clientId}</code></span>
${table({
  caption: `Tokens of ${credential.name}`,
  columns: ['Scope', 'State', 'Expires', 'Next refresh', 'Last success', 'Last error', 'Generation'],
  rows: credential.tokens.map((token) => tokenRow(token, status.now)),
})}
${table({
  caption: `Secrets of ${credential.name}`,
  columns: ['Secret', 'In use', 'Fingerprint', 'Expires'],
  rows: credential.secrets.map(({ name, inUse, fingerprint, expiresAt }) => [
    name,
    inUse ? badge('good', 'in use') : 'not in use',
    html`<code>${fingerprint}</code>`,
    expiresAt === undefined ? 'not known' : moment(expiresAt, status.now),
  ]),
})}
<div class="figures">${credential.tokens.map((token) => tokenLife(token, status.now))}${credential.rotation && rotationPhases(credential.rotation)}</div>
${credential.rotation && rotationLine(credential.rotation, status.now)}
${actions && refreshForm(credential)}</article>
`,
    ),
  );
}

const ROTATION = {
  idle: badge('good', 'on schedule'),
  overlap: badge('good', 'new secret in use, the old one will be deleted'),
  failing: badge('bad', 'failed, retried automatically'),
} as const;

function rotationLine({ state, rotatedAt, nextAt, lastError }: NonNullable<Credential['rotation']>, now: string): Html {
  return html`<p>Rotation of the secret: ${ROTATION[state]}
${lastError && html`<code>${lastError.code}</code> ${moment(lastError.at, now)};`}
${rotatedAt && html`last rotation ${moment(rotatedAt, now)};`} next step ${nextAt ? moment(nextAt, now) : 'not planned yet'}</p>`;
}

function refreshForm({ name }: Credential): Html {
  return html`<form method="post" action="/token/refresh?credential=${encodeURIComponent(name.toWellFormed())}">
<p>This discards the current token and fetches a new one; calls wait for it.</p>
<button type="submit">Refresh the token of ${name}</button> <span role="status" data-keep></span></form>`;
}

function tokenRow(token: Token, now: string): Part[] {
  const { scope, expiresAt, refreshAt, lastSuccessAt, lastError, generation } = token;
  return [
    scope ?? 'every scope of the client',
    stateOf(token),
    expiresAt === undefined ? 'no token' : moment(expiresAt, now),
    refreshAt !== undefined && refreshAt > now ? moment(refreshAt, now) : 'now',
    lastSuccessAt === undefined ? 'none yet' : moment(lastSuccessAt, now),
    lastError === undefined
      ? 'none'
      : html`${explain(lastError.code).title} (<code>${lastError.code}</code>, ${lastError.result}${lastError.failure?.host && `, ${lastError.failure.host}`}), ${moment(lastError.at, now)}`,
    generation,
  ];
}

function stateOf({ state, consecutiveFailures: failures }: Token): Html {
  const failed =
    failures > 0 && html` ${failures === 1 ? 'the last request failed' : `the last ${failures} requests failed`}`;
  if (state === 'fresh') return html`${badge('good', 'valid')}${failed}`;
  if (state === 'early') return html`${badge(failures > 0 ? 'wait' : 'good', 'valid, due for refresh')}${failed}`;
  const look = failures > 0 ? 'bad' : 'wait';
  return html`${badge(look, state === 'expired' ? 'expired' : 'no token')}${failed}`;
}

const SOURCES = { fetched: 'fetched by this sidecar', shared: 'fetched by another member' } as const;

/** The store that this sidecar shares with others. */
function fleet({ fleet: shared, credentials: all, now }: Status): Html {
  if (!shared) return html``;
  const { store, up, problem, since, members, keyId } = shared;
  const tokens = all.flatMap(({ name, tokens: own }) =>
    own.flatMap(({ scope, source }) =>
      source ? [`${name}${scope === undefined ? '' : ` (${scope})`}: ${SOURCES[source]}`] : [],
    ),
  );
  const state = up ? badge('good', 'in use') : badge('wait', problem ? 'not used' : 'connecting');
  const why = problem && html`<p>${sentence(problem)} Calls go on: this sidecar fetches its own tokens.</p>`;
  const content = html`<dl>
<dt>Store</dt><dd><code class="long">${store}</code></dd>
<dt>State</dt><dd>${state} since ${moment(since ?? now, now)}${why}</dd>
<dt>Live members</dt><dd>${members ?? 'not known'}</dd>
<dt>Tokens</dt><dd>${list(tokens, 'none yet')}</dd>
<dt>Key id</dt><dd><code>${keyId}</code></dd></dl>`;
  return section('fleet', 'Fleet', content);
}

/** The current configuration, and what to review in it. */
function configuration(status: Status): Html {
  const { generation, lastReload, startedAt, now } = status;
  const content = html`<dl>
<dt>Generation</dt><dd>${generation}</dd>
<dt>Last reload</dt><dd>${lastReload === undefined ? 'none since the start' : reloaded(lastReload, now)}</dd>
<dt>Warnings</dt><dd>${list(status.warnings, 'none')}</dd>
<dt>Unsafe options set</dt><dd>${status.unsafe.length > 0 && badge('bad', 'protection turned off')}${list(status.unsafe, 'none')}</dd>
<dt>Environment</dt><dd>${status.environment}</dd>
<dt>Version</dt><dd>${status.version}</dd>
<dt>Running for</dt><dd>${roughly(Date.parse(now) - Date.parse(startedAt))}</dd>
<dt>Calls running now</dt><dd>${status.inFlight}</dd></dl>
${table({
  caption: 'Connections to the APIs',
  columns: ['API', 'Open', 'Running calls', 'Waiting calls'],
  rows: status.upstreams.map(({ origin, connected, running, queued }) => [
    html`<code class="long">${origin}</code>`,
    connected,
    running,
    queued,
  ]),
})}`;
  return section('configuration', 'Configuration', content);
}

function reloaded({ at, result, problems }: NonNullable<Status['lastReload']>, now: string): Html {
  const words = new Map([
    ['ok', badge('good', 'applied')],
    ['unchanged', html`no changes`],
    ['invalid', html`${badge('bad', 'refused')} The last valid configuration stays active.`],
  ]);
  return html`<p>${moment(at, now)}: ${words.get(result) ?? result}</p>${problems.length > 0 && list(problems, '')}`;
}
