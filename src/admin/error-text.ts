/**
 * Error codes in plain words, for the status page: what happened and what to do, from the error table.
 */
import { ERRORS } from '../core/errors.ts';
import { type Failure, sentences } from '../core/failure.ts';
import { type Html, html } from './html.ts';

export interface Explanation {
  readonly code: string;
  readonly title: string;
  /** What happened and what to do. */
  readonly detail: string;
}

/**
 * An error in plain words, from the error table.
 * @param code undefined for an error response of the API itself
 * @param failure what was met, if it was met between us and a server
 */
export function explain(code: string | undefined, status?: number, failure?: Failure): Explanation {
  if (code !== undefined && failure) return { code, title: titleOf(code), detail: sentences(failure) };
  if (code === undefined)
    return {
      code: `HTTP ${status}`,
      title: 'The API itself responded with an error',
      detail: failure
        ? sentences(failure)
        : 'The sidecar forwarded that response unchanged. If this continues, ask whoever runs the API.',
    };
  const detail = Object.hasOwn(ERRORS, code) ? ERRORS[code as keyof typeof ERRORS].detail : 'The log says more.';
  return { code, title: titleOf(code), detail };
}

function titleOf(code: string): string {
  return Object.hasOwn(ERRORS, code) ? ERRORS[code as keyof typeof ERRORS].title : 'Unknown error';
}

/** Text of the error table, in which backquotes mark what is typed. */
export function prose(text: string): Html {
  return html`${text.split('`').map((part, index) => (index % 2 === 1 ? html`<code>${part}</code>` : part))}`;
}
