/**
 * Failures on the status page: calls that the API may or may not have executed, and all errors in groups.
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
  const columns = ['Code', 'Route', 'Count', 'What happened, what to do', 'First', 'Last', 'Latest request id'];
  const caption =
    'Errors since the start, grouped by code, cause and route, at most fifty groups. Use the request id to find the line in the log.';
  const none = html`<p>None since the start.</p>`;
  return section('errors', 'Errors', rows.length === 0 ? none : table({ caption, columns, rows }));
}

/** One row per call: somebody has to ask the API about each one. */
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
    'The sidecar sent these calls, at least in part, and got no complete response: the API may have executed them. Latest first, at most fifty since the start.';
  const none = html`<p>None since the start.</p>`;
  const content = rows.length === 0 ? none : table({ caption, columns, rows });
  return section('unknown', 'Payments and other calls with an unknown outcome', content);
}

function whatToDo(key: string | undefined): string {
  const ask = key === undefined ? 'for the result of this call, or with the request id' : 'with this Idempotency-Key';
  return `Ask the API ${ask}. Do not send the call again before you know its outcome.`;
}

function pathOf({ route }: { readonly route: string | undefined }): Part {
  return route === undefined ? 'none' : html`<code>${route}</code>`;
}
