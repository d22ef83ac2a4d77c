/**
 * Times on the status page, and how far away they are.
 */
import { type Html, html } from './html.ts';

/**
 * A time and its distance. With JavaScript, a future time counts down, and the local time of the viewer is shown in the
 * space reserved for it.
 * @param at ISO 8601
 * @param now ISO 8601
 */
export function moment(at: string, now: string): Html {
  const ms = Date.parse(at) - Date.parse(now);
  const text = `${at.slice(0, 10) === now.slice(0, 10) ? '' : `${at.slice(0, 10)} `}${at.slice(11, 19)} UTC`;
  const distance =
    ms > 0 ? html`<span data-until="${at}">in ${roughly(ms)}</span>` : html`<span>${roughly(-ms)} ago</span>`;
  return html`<span><time class="number" datetime="${at}">${text}</time><span class="local"></span>, ${distance}</span>`;
}

/** A coarse duration, so that the page does not change every second. */
export function roughly(ms: number): string {
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 1) return 'less than a minute';
  if (minutes < 120) return minutes === 1 ? '1 minute' : `${minutes} minutes`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} hours` : `${Math.floor(hours / 24)} days`;
}
