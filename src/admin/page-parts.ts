/**
 * What the status page is made of: sections, tables and badges.
 */
import { type Html, html, type Part } from './html.ts';

/** @param id also the target of a link to it */
export function section(id: string, title: string, content: Part): Html {
  return html`<section id="${id}" aria-labelledby="${id}-title"><h2 id="${id}-title">${title}</h2>
${content}</section>
`;
}

/** A state in a word; the colour repeats it. */
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
 * A table that narrow screens show as cards. The roles are what it is anyway; browsers forget them with `display: block`.
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
