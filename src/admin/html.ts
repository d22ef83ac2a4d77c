/**
 * HTML by a tagged template that escapes every value, so that no page can forget it. Only its own results are inserted
 * unescaped.
 */

const TEXT = Symbol('text');

export interface Html {
  readonly [TEXT]: string;
}

export type Part = Html | string | number | undefined | false | readonly Part[];

/**
 * Renders a template. Use values only in text and quoted attributes. Lists are joined; undefined and false are omitted.
 * @example html`<p>${'<b>'}</p>` // <p>&lt;b&gt;</p>
 */
export function html(strings: TemplateStringsArray, ...values: readonly Part[]): Html {
  let text = strings[0] ?? '';
  for (let index = 0; index < values.length; index += 1) text += render(values[index]) + strings[index + 1];
  return { [TEXT]: text };
}

/** Returns the text of a part; escapes everything but `Html`. */
export function render(part: Part): string {
  if (part === undefined || part === false) return '';
  if (typeof part === 'string' || typeof part === 'number') return escaped(String(part));
  return TEXT in part ? part[TEXT] : part.map(render).join('');
}

/** Inserts text unescaped. Only for our own style sheet and script. */
export function verbatim(text: string): Html {
  return { [TEXT]: text };
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
  '`': '&#96;',
};

/** Printable ASCII and line breaks without the above: nearly every value. */
const HARMLESS = /^[\n !#$%(-;=?-_a-~]*$/;

function escaped(text: string): string {
  if (HARMLESS.test(text)) return text;
  // Control characters and direction marks could change how a line reads.
  return text
    .toWellFormed()
    .replace(/[&<>"'`]/g, (character) => ENTITIES[character] ?? '')
    .replace(/[^\P{Cc}\n\t]|\p{Bidi_Control}/gu, '\u{fffd}');
}
