/**
 * Explains errors on the status page: what happened and what to do.
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
 * Explains an error with its `Failure` if there is one, else with the error table.
 * @param code undefined for an error response of the API itself
 * @param failure the failure between the sidecar and a server, if there is one
 */
export function explain(code: string | undefined, status?: number, failure?: Failure): Explanation {
  if (code === undefined)
    return {
      code: `HTTP ${status}`,
      title: 'The API responded with an error',
      detail: failure
        ? sentences(failure)
        : 'The sidecar forwarded the response unchanged. If it continues, ask the operator of the API.',
    };
  const row = Object.hasOwn(ERRORS, code) ? ERRORS[code as keyof typeof ERRORS] : undefined;
  const { title, detail } = row ?? { title: 'Unknown error', detail: 'The log has details.' };
  return { code, title, detail: failure ? sentences(failure) : prose(detail) };
}

/** Renders text of the error table: backquotes mark code. */
export function prose(text: string): Html {
  return html`${text.split('`').map((part, index) => (index % 2 === 1 ? html`<code>${part}</code>` : part))}`;
}

/** Returns a clause or a sentence as one sentence, with capital letter and full stop. */
export function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1).replace(/\.$/, '')}.`;
}
