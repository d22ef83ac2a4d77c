/**
 * What failed, on the status page: calls of which nobody knows whether the API carried them out, and all errors in groups.
 */
import { explain } from './error-text.ts';
import { type Html, html, type Part } from './html.ts';
import { section, table } from './page-parts.ts';
import { moment } from './page-time.ts';
import type { Status } from './status.ts';

/** One row for errors of the same code, cause and route. */
export function errors({ errorGroups, now }: Status): Html {
  const rows = errorGroups.map(({ count, firstAt, latest }) => {
    const { code, status, failure } = latest;
    const explained = explain(code, status, failure);
    return [
      html`<code>${explained.code}</code>${failure && html`<br><span class="soft">${failure.cause}</span>`}`,
      pathOf(latest),
      html`<span class="number">${count}</span>`,
      html`<strong>${explained.title}.</strong> ${explained.detail}`,
      moment(firstAt, now),
      moment(latest.at, now),
      html`<code class="long">${latest.requestId}</code>`,
    ];
  });
  const columns = ['Code', 'Route', 'How often', 'What happened, what to do', 'First', 'Last', 'Latest request id'];
  const caption =
    'Since it was started, in groups of the same code, cause and route, at most fifty. The request id finds the line in the log.';
  const none = html`<p>None since it was started.</p>`;
  return section('errors', 'Errors', rows.length === 0 ? none : table({ caption, columns, rows }));
}

/** Each call by itself: somebody has to ask the API for every one of them. */
export function unknownOutcomes({ unknownOutcomes: calls, now }: Status): Html {
  const rows = calls.map((call) => [
    moment(call.at, now),
    pathOf(call),
    html`<code>${call.method}</code>`,
    explain(call.code, call.status, call.failure).title,
    html`<code class="long">${call.requestId}</code>`,
    call.idempotencyKey === undefined ? 'none' : html`<code class="long">${call.idempotencyKey}</code>`,
    whatToDo(call.idempotencyKey),
  ]);
  const columns = ['Time', 'Route', 'Method', 'What happened', 'Request id', 'Idempotency-Key', 'What to do'];
  const caption =
    'These calls were sent, at least in part, and no whole response came: the API may have carried them out. Latest first, at most fifty since it was started.';
  const none = html`<p>None since it was started.</p>`;
  const content = rows.length === 0 ? none : table({ caption, columns, rows });
  return section('unknown', 'Payments and other calls with an unknown outcome', content);
}

function whatToDo(key: string | undefined): string {
  const ask =
    key === undefined ? 'for what this call would have made, or with the request id' : 'with this Idempotency-Key';
  return `Ask the API ${ask}. Do not send it again before you know.`;
}

function pathOf({ route }: { readonly route: string | undefined }): Part {
  return route === undefined ? 'none' : html`<code>${route}</code>`;
}
