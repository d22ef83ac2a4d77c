/**
 * The sections of the status page below the summary: credentials, routes, errors, configuration.
 */
import { explain, prose } from './error-text.ts';
import { type Html, html, type Part } from './html.ts';
import { moment, roughly, table } from './page-parts.ts';
import type { Status } from './status.ts';

type Credential = Status['credentials'][number];
type Token = Credential['tokens'][number];
type Route = Status['routes'][number];

const badge = (look: 'good' | 'bad' | 'wait', text: string) => html`<span class="badge ${look}">${text}</span>`;

function section(id: string, title: string, content: Part): Html {
  return html`<section id="${id}" aria-labelledby="${id}-title"><h2 id="${id}-title">${title}</h2>
${content}</section>
`;
}

function list(items: readonly string[], none: string): Html {
  return items.length === 0 ? html`${none}` : html`<ul>${items.map((item) => html`<li>${item}</li>`)}</ul>`;
}

/**
 * All of them, in the order in which they are wanted.
 * @param options.actions whether each credential has a button that drops its token
 */
export function sections(status: Status, options: { readonly actions: boolean }): Html {
  return html`${[credentials(status, options), routes(status), errors(status), configuration(status)]}`;
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
  columns: ['Scope', 'State', 'Expires', 'Refreshes itself', 'Last success', 'Last error', 'Generation'],
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
${credential.rotation && rotationLine(credential.rotation, status.now)}
${actions && refreshForm(credential)}</article>
`,
    ),
  );
}

const ROTATION = {
  idle: badge('good', 'on schedule'),
  overlap: badge('good', 'new secret in place, the old one is deleted soon'),
  failing: badge('bad', 'stopped, tried again by itself'),
} as const;

function rotationLine({ state, rotatedAt, nextAt, lastError }: NonNullable<Credential['rotation']>, now: string): Html {
  return html`<p>Rotation of the secret: ${ROTATION[state]}
${lastError && html`<code>${lastError.code}</code> ${moment(lastError.at, now)};`}
${rotatedAt && html`last time ${moment(rotatedAt, now)};`} next step ${nextAt ? moment(nextAt, now) : 'not planned yet'}</p>`;
}

function refreshForm({ name }: Credential): Html {
  return html`<form method="post" action="/token/refresh?credential=${encodeURIComponent(name.toWellFormed())}">
<p>The token in use is dropped and another one fetched; calls wait until it is there.</p>
<button type="submit">Refresh token of ${name} now</button> <span role="status" data-keep></span></form>`;
}

function tokenRow(token: Token, now: string): Part[] {
  const { scope, expiresAt, refreshAt, lastSuccessAt, lastError, generation } = token;
  return [
    scope ?? 'all the client may have',
    stateOf(token),
    expiresAt === undefined ? 'no token' : moment(expiresAt, now),
    refreshAt !== undefined && refreshAt > now ? moment(refreshAt, now) : 'now',
    lastSuccessAt === undefined ? 'none yet' : moment(lastSuccessAt, now),
    lastError === undefined
      ? 'none'
      : html`${explain(lastError.code).title} (<code>${lastError.code}</code>, ${lastError.result}), ${moment(lastError.at, now)}`,
    generation,
  ];
}

function stateOf({ state, consecutiveFailures: failures }: Token): Html {
  const failed = failures > 0 && html` ${failures === 1 ? 'the last try failed' : `the last ${failures} tries failed`}`;
  if (state === 'fresh') return html`${badge('good', 'valid')}${failed}`;
  if (state === 'early') return html`${badge(failures > 0 ? 'wait' : 'good', 'valid, due for refresh')}${failed}`;
  const look = failures > 0 ? 'bad' : 'wait';
  return html`${badge(look, state === 'expired' ? 'expired' : 'no token')}${failed}`;
}

/** With the traffic of the last minutes. */
function routes(status: Status): Html {
  return section(
    'routes',
    'Routes',
    table({
      caption: 'Rates and times are of the last five minutes, the bars of the last thirty, one a minute.',
      columns: ['Route', 'API', 'Allowed', 'Calls a minute', 'Errors', 'Half within', '99 % within', 'Last 30 minutes'],
      rows: status.routes.map((route) => [
        html`<code>${route.path}</code>`,
        html`<code class="long">${route.upstream}</code><br><span class="soft">credential ${route.credential}</span>`,
        route.allow === undefined
          ? badge('wait', 'every method and path')
          : html`<ul>${route.allow.map((entry) => html`<li><code>${entry}</code></li>`)}</ul>`,
        html`<span class="number">${rate(route)}</span>`,
        errorRate(route),
        duration(route.last5m.p50Ms),
        duration(route.last5m.p99Ms),
        sparkline(route),
      ]),
    }),
  );
}

function rate({ last5m: { requests } }: Route): string {
  return requests === 0 ? '0' : (requests / 5).toFixed(requests < 50 ? 1 : 0);
}

function errorRate({ last5m: { requests, errors } }: Route): Html {
  if (errors === 0) return html`none`;
  const percent = (100 * errors) / requests;
  return badge('bad', `${percent.toFixed(percent < 10 ? 1 : 0)} % (${errors} of ${requests})`);
}

function duration(ms: number | undefined): Html {
  if (ms === undefined) return html`<span class="soft">no calls</span>`;
  const text = ms < 1000 ? `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
  return html`<span class="number">about ${text}</span>`;
}

const BAR = { width: 5, height: 32 } as const;

/** A bar a minute, its errors from the bottom. */
function sparkline({ path, last30m: { requests, errors } }: Route): Html {
  const most = Math.max(1, ...requests);
  const failed = errors.reduce((sum, count) => sum + count, 0);
  const label = `${path}: at most ${Math.max(0, ...requests)} calls in a minute of the last thirty, ${requests.at(-1)} in this one, ${failed} errors in all`;
  const bar = (name: string, count: number, index: number) => {
    const height = count === 0 ? 0 : Math.max(1, Math.round((count / most) * BAR.height));
    return html`<rect class="${name}" x="${index * BAR.width}" y="${BAR.height - height}" width="${BAR.width - 1}" height="${height}"/>`;
  };
  return html`<svg role="img" aria-label="${label}" viewBox="0 0 ${requests.length * BAR.width} ${BAR.height}" preserveAspectRatio="none">${requests.map(
    (count, index) => [bar('bar', count, index), bar('bar-bad', errors[index] ?? 0, index)],
  )}</svg>`;
}

/** The last fifty. */
function errors(status: Status): Html {
  const rows = status.recentErrors.map(({ at, route, code, status: responded, requestId, failure }) => {
    const explained = explain(code, responded, failure);
    return [
      moment(at, status.now),
      route === undefined ? 'none' : html`<code>${route}</code>`,
      html`<code>${explained.code}</code>`,
      html`<strong>${explained.title}.</strong> ${prose(explained.detail)}`,
      html`<code class="long">${requestId}</code>`,
    ];
  });
  const columns = ['Time', 'Route', 'Code', 'What happened, what to do', 'Request id'];
  const content =
    rows.length === 0 ? html`<p>None since it was started.</p>` : table({ caption: CAPTION, columns, rows });
  return section('errors', 'Last errors', content);
}

const CAPTION = 'Latest first, at most fifty. The request id finds the line in the log.';

/** What is in force, and what deserves a second look. */
function configuration(status: Status): Html {
  const { generation, lastReload, startedAt, now } = status;
  const content = html`<dl>
<dt>Generation</dt><dd>${generation}</dd>
<dt>Last reload</dt><dd>${lastReload === undefined ? 'none since it was started' : reloaded(lastReload, now)}</dd>
<dt>Warnings</dt><dd>${list(status.warnings, 'none')}</dd>
<dt>Unsafe options set</dt><dd>${status.unsafe.length > 0 && badge('bad', 'protection switched off')}${list(status.unsafe, 'none')}</dd>
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
    ['ok', badge('good', 'in force')],
    ['unchanged', html`nothing had changed`],
    ['invalid', html`${badge('bad', 'refused')} The last good configuration stays in force.`],
  ]);
  return html`<p>${moment(at, now)}: ${words.get(result) ?? result}</p>${problems.length > 0 && list(problems, '')}`;
}
