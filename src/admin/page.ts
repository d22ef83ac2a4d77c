/**
 * The status page: `/status` for people, as a pure function of the same data. It begins with whether calls work, until
 * when, and the last problem. It is complete without JavaScript; with it, `GET /events` updates it.
 */
import { createHash } from 'node:crypto';
import type { Failure } from '../core/failure.ts';
import { explain } from './error-text.ts';
import { type Html, html, render, verbatim } from './html.ts';
import { flow } from './page-flow.ts';
import { headline } from './page-headline.ts';
import { section } from './page-parts.ts';
import { PAGE_SCRIPT } from './page-script.ts';
import { sections } from './page-sections.ts';
import { PAGE_STYLE } from './page-style.ts';
import { moment } from './page-time.ts';
import type { Status } from './status.ts';

export interface PageOptions {
  /** Whether the page has buttons. */
  readonly actions: boolean;
  /** Whether it offers the support file. */
  readonly support?: boolean;
}

const hashOf = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

/** Headers of the page and its events: it may load, frame and send nothing but to this origin. */
export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  'Content-Security-Policy': [
    "default-src 'none'",
    `script-src ${hashOf(PAGE_SCRIPT)}`,
    `style-src ${hashOf(PAGE_STYLE)}`,
    "connect-src 'self'",
    // For the empty icon: without it, a browser requests /favicon.ico.
    'img-src data:',
    "form-action 'self'",
    "frame-ancestors 'none'",
    "base-uri 'none'",
  ].join('; '),
  'Content-Type': 'text/html; charset=utf-8',
  'Cache-Control': 'no-store',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
};

/** Renders the whole page. */
export function renderPage(status: Status, options: PageOptions): string {
  return render(html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>aritma-sidecar: ${headline(status).word}</title>
<link rel="icon" href="data:,">
<noscript><meta http-equiv="refresh" content="30"></noscript>
<style>${verbatim(PAGE_STYLE)}</style>
</head>
<body>
<header><h1>aritma-sidecar</h1><span>${status.environment}</span><span class="soft">version ${status.version}</span>
<span id="live" role="status"></span></header>
<nav aria-label="Sections"><ul>
<li><a href="#routes">Routes</a></li><li><a href="#unknown">Unknown outcomes</a></li><li><a href="#errors">Errors</a></li>
<li><a href="#credentials">Credentials</a></li>${status.fleet && html`<li><a href="#fleet">Fleet</a></li>`}<li><a href="#configuration">Configuration</a></li>${options.support && html`<li><a href="#support">Support</a></li>`}
</ul></nav>
<main data-now="${Date.parse(status.now)}">${verbatim(renderMain(status, options))}</main>
<footer>Loaded at <time datetime="${status.now}">${status.now.slice(0, 19).replace('T', ' ')} UTC</time>.
<noscript>It reloads every 30 seconds.</noscript> As JSON: <a href="/status">/status</a></footer>
<script>${verbatim(PAGE_SCRIPT)}</script>
</body>
</html>
`);
}

/** Renders the part of the page that changes. */
export function renderMain(status: Status, options: PageOptions): string {
  return render([summary(status), sections(status, options), options.support ? SUPPORT : html``]);
}

/** A link, not a form: it works without JavaScript, and a browser saves what it gets. */
const SUPPORT = section(
  'support',
  'Support',
  html`<p>One text file with versions, configuration, state, findings of check, metrics and the end of the log, without
secrets and tokens. It takes up to half a minute. Read it before you send it.</p>
<p><a class="button" href="/support" download>Download support file</a></p>`,
);

const isUsable = (state: string) => state === 'fresh' || state === 'early';

function summary(status: Status): Html {
  const { word, look, because } = headline(status);
  return html`<section id="now" aria-labelledby="now-title"><h2 id="now-title">Can the API be called now?</h2>
<div class="verdict ${look}"><strong id="word" role="status">${word}</strong> ${because}<p id="heard" data-keep hidden></p></div>
<dl><dt>Until</dt><dd>${until(status)}</dd>
<dt>Last problem</dt><dd>${lastProblem(status)}</dd>${unknown(status)}</dl>
${flow(status)}</section>
`;
}

/** Payments may have happened, so this is at the top. */
function unknown({ unknownOutcomes: { length } }: Status): Html {
  if (length === 0) return html``;
  const calls = length === 1 ? '1 call' : `${length} calls`;
  return html`<dt>Unknown outcomes</dt><dd><a href="#unknown">The API may have executed ${calls}</a>: ask the API before you send again.</dd>`;
}

/** The token that expires first, and its refresh. */
function until(status: Status): Html {
  const tokens = status.credentials.flatMap((credential) => credential.tokens);
  const [first] = tokens
    .filter(({ state, expiresAt }) => isUsable(state) && expiresAt !== undefined)
    .sort((one, other) => Date.parse(one.expiresAt ?? '') - Date.parse(other.expiresAt ?? ''));
  if (first?.expiresAt === undefined) return html`There is no valid token.${nextTry(status, tokens)}`;
  const { expiresAt, refreshAt, consecutiveFailures: failures } = first;
  const due = refreshAt !== undefined && refreshAt > status.now;
  const next = due ? html`at about ${moment(refreshAt, status.now)}` : html`now`;
  return html`<p>The token expires at ${moment(expiresAt, status.now)}.</p>
<p>${
    failures === 0
      ? html`The sidecar refreshes it ${next}; calls go on.`
      : html`The refresh has failed ${failures === 1 ? 'once' : `${failures} times`}; the next try is ${next}. Calls work until the token expires.`
  }</p>`;
}

function nextTry(status: Status, tokens: readonly { readonly refreshAt: string | undefined }[]): Html {
  const [next] = tokens.flatMap(({ refreshAt = [] }) => refreshAt).sort();
  return next !== undefined && next > status.now
    ? html` The next try is at about ${moment(next, status.now)}.`
    : html` The sidecar is fetching one.`;
}

/** Names the server that was asked, if any. */
function from(failure: Failure | undefined): string {
  return failure?.host === undefined ? '' : ` from ${failure.host}`;
}

interface Problem {
  readonly at: string;
  readonly code: string | undefined;
  readonly status?: number;
  readonly failure?: Failure | undefined;
  readonly where: string;
}

/** The latest problem of requests, token requests and reloads. */
function lastProblem(status: Status): Html {
  const { recentErrors, lastReload, now } = status;
  const problems: Problem[] = recentErrors
    .slice(0, 1)
    .map((error) => ({ ...error, where: error.route === undefined ? 'a request' : `a request to ${error.route}` }));
  for (const { name, tokens } of status.credentials)
    for (const { lastError } of tokens)
      if (lastError)
        problems.push({ ...lastError, where: `the token of credential ${name}${from(lastError.failure)}` });
  if (lastReload?.result === 'invalid')
    problems.push({ at: lastReload.at, code: 'CONFIG_INVALID', where: 'the changed configuration' });
  const [last] = problems.sort((one, other) => Date.parse(other.at) - Date.parse(one.at));
  if (last === undefined) return html`None since the start.`;
  const { code, title, detail } = explain(last.code, last.status, last.failure);
  return html`<p><strong>${title}</strong> (<code>${code}</code>), ${last.where}</p>
<p>${detail}</p><p class="soft">${moment(last.at, now)}</p>`;
}
