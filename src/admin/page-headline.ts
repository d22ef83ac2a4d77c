/**
 * The top of the status page: whether calls work now and, for each route with a problem, what is wrong, since when, and
 * what to do.
 */
import { prose, sentence } from './error-text.ts';
import { type Html, html, type Part } from './html.ts';
import { moment } from './page-time.ts';
import type { Status } from './status.ts';
import { worst } from './verdict.ts';

export interface Headline {
  readonly word: 'Yes' | 'Yes, with a warning' | 'Partly' | 'No' | 'Draining';
  readonly look: 'good' | 'bad' | 'wait';
  readonly because: Part;
}

type Route = Status['routes'][number];

/** Returns the headline; the worst route decides. */
export function headline(status: Status): Headline {
  const { draining, listening, routes } = status;
  if (draining)
    return {
      word: 'Draining',
      look: 'wait',
      because: 'The sidecar is stopping: running calls finish, and soon it accepts no new ones.',
    };
  if (!listening) return { word: 'No', look: 'bad', because: 'The sidecar is starting and does not accept calls yet.' };
  const because = [of('fails', status), of('warning', status), working(status)];
  const state = worst(routes.map(({ verdict }) => verdict.state));
  if (state === 'works') return { word: 'Yes', look: 'good', because };
  if (state === 'warning') return { word: 'Yes, with a warning', look: 'wait', because };
  const isAll = routes.every(({ verdict }) => verdict.state === 'fails');
  return { word: isAll ? 'No' : 'Partly', look: isAll ? 'bad' : 'wait', because };
}

/** Routes with the same problem share a paragraph. */
function of(state: 'fails' | 'warning', { routes, now }: Status): Html[] {
  const found = Map.groupBy(
    routes.filter(({ verdict }) => verdict.state === state),
    ({ verdict: { message, fix } }) => `${message}\n${fix}`,
  );
  return [...found.values()].map((same) => {
    const since = same.flatMap(({ verdict }) => verdict.since ?? []).sort()[0];
    const verb = state === 'fails' ? 'fail' : 'work';
    const how = state === 'fails' ? '' : ', with a warning';
    return html`<p>${paths(same)} ${conjugated(verb, same)}${how}: ${account(same[0], since, now)}</p>`;
  });
}

function account(route: Route | undefined, since: string | undefined, now: string): Html {
  const { message = '', fix } = route?.verdict ?? {};
  return html`${prose(sentence(message))}${since && html` Since ${moment(since, now)}.`}${
    fix && html` <strong>What to do:</strong> ${prose(sentence(fix))}`
  }`;
}

function working({ routes, credentials }: Status): Html {
  const works = routes.filter(({ verdict }) => verdict.state === 'works');
  if (works.length === 0) return html``;
  if (works.length < routes.length) return html`<p>${paths(works)} ${conjugated('work', works)}.</p>`;
  const tokens = credentials.flatMap((credential) => credential.tokens);
  if (tokens.every(({ state }) => state === 'fresh' || state === 'early'))
    return html`<p>Calls to every route work, as far as is known.</p>`;
  return html`<p>The sidecar is fetching a token; calls wait for it.</p>`;
}

function conjugated(verb: string, { length }: readonly Route[]): string {
  return length === 1 ? `${verb}s` : verb;
}

function paths(routes: readonly Route[]): Html {
  return html`${routes.map(({ path }, index) => html`${index > 0 && ', '}<code>${path}</code>`)}`;
}
