/**
 * The routes on the status page: whether each one works, and its traffic of the last minutes.
 */
import { prose, sentence } from './error-text.ts';
import { type Html, html } from './html.ts';
import { badge, section, table } from './page-parts.ts';
import { moment } from './page-time.ts';
import type { Status } from './status.ts';

type Route = Status['routes'][number];

/** With the traffic of the last minutes. */
export function routes(status: Status): Html {
  return section(
    'routes',
    'Routes',
    table({
      caption: 'Rates and times are of the last five minutes, the bars of the last thirty, one a minute.',
      columns: [
        'Route',
        'Does it work?',
        'API',
        'Allowed',
        'Calls a minute',
        'Errors',
        'Half within',
        '99 % within',
        'Last 30 minutes',
      ],
      rows: status.routes.map((route) => [
        html`${VERDICTS[route.verdict.state]} <code>${route.path}</code>`,
        account(route, status.now),
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

const VERDICTS = {
  works: badge('good', 'works'),
  warning: badge('wait', 'warning'),
  fails: badge('bad', 'fails'),
} as const;

/** In the words of the headline. */
function account({ verdict: { message, since, fix } }: Route, now: string): Html {
  return html`<p>${prose(sentence(message))}</p>
${since && html`<p class="soft">Since ${moment(since, now)}</p>`}
${fix && html`<p>What to do: ${prose(sentence(fix))}</p>`}`;
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
