/**
 * The routes on the status page: whether each one works, and its recent traffic.
 */
import { prose, sentence } from './error-text.ts';
import { type Html, html } from './html.ts';
import { badge, section, table } from './page-parts.ts';
import { moment } from './page-time.ts';
import { strip } from './page-timelines.ts';
import type { Status } from './status.ts';

type Route = Status['routes'][number];

/** Renders the section of the routes. */
export function routes(status: Status): Html {
  return section('routes', 'Routes', [
    table({
      caption: 'Rates and times of the last five minutes.',
      columns: ['Route', 'State', 'API', 'Allowed', 'Calls per minute', 'Errors', '50 % within', '99 % within'],
      rows: status.routes.map((route) => [
        html`${VERDICTS[route.verdict.state]} <code>${route.path}</code>`,
        account(route, status.now),
        html`<code class="long">${route.upstream}</code><br><span class="soft">credential ${route.credential}</span>${additions(route)}`,
        route.allow === undefined
          ? badge('wait', 'every method and path')
          : html`<ul>${route.allow.map((entry) => html`<li><code>${entry}</code></li>`)}</ul>`,
        html`<span class="number">${rate(route)}</span>`,
        errorRate(route),
        duration(route.last5m.p50Ms),
        duration(route.last5m.p99Ms),
      ]),
    }),
    html`<h3>The last thirty minutes</h3><div class="figures">${status.routes.map(strip)}</div>`,
  ]);
}

const VERDICTS = {
  works: badge('good', 'works'),
  warning: badge('wait', 'warning'),
  fails: badge('bad', 'fails'),
} as const;

/** The same text as in the headline. */
function account({ verdict: { message, since, fix } }: Route, now: string): Html {
  return html`<p>${prose(sentence(message))}</p>
${since && html`<p class="soft">Since ${moment(since, now)}</p>`}
${fix && html`<p>What to do: ${prose(sentence(fix))}</p>`}`;
}

/** What the route adds to requests, and its own time limits. */
function additions({ headers = [], timeoutsMs = {} }: Route): Html {
  const added = headers.map(({ name, value, override }) => {
    const how = override ? 'always sends' : 'adds';
    return html`<br><span class="soft">${how}</span> <code class="long">${name}: ${value}</code>`;
  });
  const limits = Object.entries(timeoutsMs).map(
    ([name, ms = 0]) => html`<br><span class="soft">${name} within ${ms / 1000} s</span>`,
  );
  return html`${[...added, ...limits]}`;
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
