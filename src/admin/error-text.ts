/**
 * Error codes in plain words, for the status page: what happened and what to do, from the error table.
 */
import { ERRORS } from '../core/errors.ts';
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
 */
export function explain(code: string | undefined, status?: number): Explanation {
  if (code === undefined)
    return {
      code: `HTTP ${status}`,
      title: 'The API itself responded with an error',
      detail: 'The sidecar forwarded that response unchanged. If this continues, ask whoever runs the API.',
    };
  if (Object.hasOwn(ERRORS, code)) {
    const { title, detail } = ERRORS[code as keyof typeof ERRORS];
    return { code, title, detail };
  }
  return { code, title: 'Unknown error', detail: 'The log says more.' };
}

/** Text of the error table, in which backquotes mark what is typed. */
export function prose(text: string): Html {
  return html`${text.split('`').map((part, index) => (index % 2 === 1 ? html`<code>${part}</code>` : part))}`;
}
