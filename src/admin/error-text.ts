/**
 * Error codes in plain words, for the status page: what happened and what to do, from the error table.
 */
import { ERRORS } from '../core/errors.ts';
import { type Failure, sentences } from '../core/failure.ts';
import { type Html, html, type Part } from './html.ts';

export interface Explanation {
  readonly code: string;
  readonly title: string;
  /** What happened and what to do. */
  readonly detail: Part;
}

/**
 * An error in plain words: the account of it where there is one, else from the error table.
 * @param code undefined for an error response of the API itself
 * @param failure what was met, if it was met between us and a server
 */
export function explain(code: string | undefined, status?: number, failure?: Failure): Explanation {
  if (code === undefined)
    return {
      code: `HTTP ${status}`,
      title: 'The API itself responded with an error',
      detail: failure
        ? sentences(failure)
        : 'The sidecar forwarded that response unchanged. If this continues, ask whoever runs the API.',
    };
  const row = Object.hasOwn(ERRORS, code) ? ERRORS[code as keyof typeof ERRORS] : undefined;
  const { title, detail } = row ?? { title: 'Unknown error', detail: 'The log says more.' };
  return { code, title, detail: failure ? sentences(failure) : prose(detail) };
}

/** Text of the error table, in which backquotes mark what is typed. */
export function prose(text: string): Html {
  return html`${text.split('`').map((part, index) => (index % 2 === 1 ? html`<code>${part}</code>` : part))}`;
}

/** Messages and fixes come as part of a sentence or as whole ones. */
export function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1).replace(/\.$/, '')}.`;
}
