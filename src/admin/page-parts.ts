/**
 * Building blocks of the status page: sections, tables and badges.
 */
import { type Html, html, type Part } from './html.ts';

/** A section with a title. @param id also the target of links */
export function section(id: string, title: string, content: Part): Html {
  return html`<section id="${id}" aria-labelledby="${id}-title"><h2 id="${id}-title">${title}</h2>
${content}</section>
`;
}

/** A state as a word; the colour repeats it. */
export function badge(look: 'good' | 'bad' | 'wait', text: string): Html {
  return html`<span class="badge ${look}">${text}</span>`;
}

export interface TableContent {
  readonly caption: string;
  readonly columns: readonly string[];
  /** The first cell of a row is its heading. */
  readonly rows: readonly (readonly Part[])[];
}

/**
 * A table that becomes cards on narrow screens. It states its roles because browsers drop them with `display: block`.
 */
export function table({ caption, columns, rows }: TableContent): Html {
  return html`<table role="table"><caption>${caption}</caption>
<thead role="rowgroup"><tr role="row">${columns.map(
    (column) => html`<th role="columnheader" scope="col">${column}</th>`,
  )}</tr></thead>
<tbody role="rowgroup">${rows.map(
    ([first, ...rest]) => html`<tr role="row"><th role="rowheader" scope="row">${first}</th>${rest.map(
      (cell, index) => html`<td role="cell" data-label="${columns[index + 1]}">${cell}</td>`,
    )}</tr>
`,
  )}</tbody></table>`;
}
