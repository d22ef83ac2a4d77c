/**
 * Images with a time axis: the traffic of a route, the lifetime of a token, the phases of a rotation. Each has a text
 * alternative and is 300 units wide, so that its text is readable on a phone.
 */
import { type Html, html } from './html.ts';
import type { Status } from './status.ts';

type Route = Status['routes'][number];
type Credential = Status['credentials'][number];

const WIDTH = 300;
/** Bottom of the bars, and height of the highest one. */
const FOOT = 58;
const HIGHEST = 40;

/** Thirty minutes of a route: one bar per minute; errors are darker, from the bottom, with a mark below the axis. */
export function strip({ path, last30m: { requests, errors } }: Route): Html {
  const most = Math.max(0, ...requests);
  const sum = (counts: readonly number[]) => counts.reduce((one, other) => one + other, 0);
  const [all, failed] = [sum(requests), sum(errors)];
  const words = `${counted(all, 'call')}, ${counted(failed, 'error')}, at most ${counted(most, 'call')} a minute`;
  const step = WIDTH / requests.length;
  const bars = (counts: readonly number[]) =>
    counts.map((count, index) => {
      const height = count === 0 ? 0 : Math.max(2, Math.round((count / Math.max(1, most)) * HIGHEST));
      return height && `M${index * step + 1} ${FOOT}v-${height}h${step - 2}v${height}z`;
    });
  const marks = errors.map((count, index) => count > 0 && `M${index * step + step / 2} ${FOOT + 2}l4 7h-8z`);
  const path30 = (name: string, parts: readonly (string | false | 0)[]) => {
    const d = parts.filter(Boolean).join('');
    return d && html`<path class="${name}" d="${d}"/>`;
  };
  return html`<figure><figcaption><code>${path}</code>: ${words}</figcaption>
<svg role="img" aria-label="${path}, the last thirty minutes: ${words}, ${counted(requests.at(-1) ?? 0, 'call')} in the current minute" viewBox="0 0 ${WIDTH} 84">
<text class="soft" x="0" y="12">${most > 0 && `${most} a minute`}</text><path class="axis" d="M0 ${FOOT + 0.5}H${WIDTH}M0.5 ${FOOT}v5M100.5 ${FOOT}v5M200.5 ${FOOT}v5M299.5 ${FOOT}v5"/>
${path30('bar', bars(requests))}${path30('bar-bad', bars(errors))}${path30('bar-bad', marks)}
<text class="soft" x="0" y="80">30 min ago</text><text class="soft" x="100" y="80" text-anchor="middle">20</text><text class="soft" x="200" y="80" text-anchor="middle">10</text><text class="soft" x="${WIDTH}" y="80" text-anchor="end">now</text></svg></figure>`;
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

/** When the token was obtained, will be refreshed and expires, and the current time. Empty without a token. */
export function tokenLife(token: Credential['tokens'][number], now: string): Html {
  const { scope, lastSuccessAt, refreshAt, expiresAt } = token;
  if (lastSuccessAt === undefined || expiresAt === undefined) return html``;
  const [from, to] = [Date.parse(lastSuccessAt), Date.parse(expiresAt)];
  if (to <= from) return html``;
  // In steps, so that the page does not change every second.
  const stepMs = Math.min(60_000, (to - from) / 10);
  const at = (ms: number) => Math.max(0, Math.min(WIDTH, Math.round(((ms - from) / (to - from)) * WIDTH)));
  const nowAt = at(from + Math.floor((Date.parse(now) - from) / stepMs) * stepMs);
  const expired = Date.parse(now) >= to;
  const refresh = refreshAt === undefined || Date.parse(refreshAt) > to ? undefined : at(Date.parse(refreshAt));
  const clock = (iso: string) =>
    `${iso.slice(0, 10) === now.slice(0, 10) ? '' : `${iso.slice(5, 10)} `}${iso.slice(11, 16)}`;
  const due = refreshAt !== undefined && refreshAt > now ? `refresh due ${clock(refreshAt)}` : 'refresh is due';
  const end = `${expired ? 'expired' : 'expires'} ${clock(expiresAt)} UTC`;
  const name = scope === undefined ? 'The token' : `The token for ${scope}`;
  const label = `${name}: obtained ${clock(lastSuccessAt)} UTC, ${due}, ${end}; ${Math.round((nowAt / WIDTH) * 100)} % of its lifetime is over`;
  return html`<figure><figcaption>${name}, from issue to expiry</figcaption>
<svg role="img" aria-label="${label}" viewBox="0 0 ${WIDTH} 76">
<rect class="life ${expired ? 'bad' : 'good'}" x="0.5" y="20.5" width="${WIDTH - 1}" height="15"/><rect class="spent" x="1" y="21" width="${Math.max(0, nowAt - 1)}" height="14"/>
${refresh !== undefined && html`<path class="axis" d="M${refresh} 15v26"/>${aside(refresh, 12, due)}`}
<path class="pointer" d="M${nowAt} 38l5 8h-10z"/>${aside(nowAt, 57, 'now')}
<text class="soft" x="0" y="73">obtained ${clock(lastSuccessAt)}</text><text class="soft" x="${WIDTH}" y="73" text-anchor="end">${end}</text></svg></figure>`;
}

/** A word at a place of the axis, kept inside the image. */
function aside(x: number, y: number, text: string): Html {
  const anchor = x < 60 ? 'start' : x > WIDTH - 60 ? 'end' : 'middle';
  return html`<text x="${x}" y="${y}" text-anchor="${anchor}">${text}</text>`;
}

const PHASES = ['one secret', 'old and new valid', 'old one deleted'] as const;

/** The phases of a rotation on a line, with the current one marked. */
export function rotationPhases({ state, rotatedAt, nextAt }: NonNullable<Credential['rotation']>): Html {
  const day = (iso: string | undefined) => iso?.slice(0, 10) ?? 'not known';
  const current = state === 'overlap' ? 1 : 0;
  const when =
    state === 'overlap'
      ? ['', `since ${day(rotatedAt)}`, `on ${day(nextAt)}`]
      : [`since ${day(rotatedAt)}`, `on ${day(nextAt)}`, ''];
  const stopped = state === 'failing';
  const word = stopped ? 'stopped here or later' : 'now';
  const label = `Phases of the rotation: ${PHASES.map((phase, index) => `${phase} ${when[index]}${index === current ? ` (${word})` : ''}`).join(', ')}`;
  const marks = PHASES.map((phase, index) => {
    const [x, anchor] = (
      [
        [7, 'start'],
        [150, 'middle'],
        [293, 'end'],
      ] as const
    )[index] ?? [0, 'start'];
    const edge = anchor === 'start' ? 0 : anchor === 'end' ? WIDTH : x;
    const look = index === current ? (stopped ? 'phase bad' : 'phase good') : 'phase open';
    return html`<circle class="${look}" cx="${x}" cy="26" r="6"/>${index === current && html`<text class="name" x="${edge}" y="13" text-anchor="${anchor}">${word}</text>`}
<text x="${edge}" y="48" text-anchor="${anchor}">${phase}</text><text class="soft" x="${edge}" y="63" text-anchor="${anchor}">${when[index]}</text>`;
  });
  return html`<figure><figcaption>Phases of the rotation</figcaption>
<svg role="img" aria-label="${label}" viewBox="0 0 ${WIDTH} 68"><path class="axis" d="M7 26H293"/>${stopped && html`<path class="cross bad" d="M72 20l12 12m0-12l-12 12"/>`}${marks}</svg></figure>`;
}
