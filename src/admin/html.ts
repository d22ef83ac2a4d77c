/**
 * HTML by one tagged template that escapes every value, so that no page has to remember to. What it returns is the only
 * thing it puts in as it is.
 */

const TEXT = Symbol('text');

export interface Html {
  readonly [TEXT]: string;
}

export type Part = Html | string | number | undefined | false | readonly Part[];

/** Values go into text and quoted attributes; lists are joined; undefined and false are nothing. */
export function html(strings: TemplateStringsArray, ...values: readonly Part[]): Html {
  let text = strings[0] ?? '';
  for (let index = 0; index < values.length; index += 1) text += render(values[index]) + strings[index + 1];
  return { [TEXT]: text };
}

/** @param part what is no `Html` comes out escaped */
export function render(part: Part): string {
  if (part === undefined || part === false) return '';
  if (typeof part === 'string' || typeof part === 'number') return escaped(String(part));
  return TEXT in part ? part[TEXT] : part.map(render).join('');
}

/** Text of our own making that is no markup to the template: style sheet and script. */
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

/** Printable ASCII and line breaks without the above: nearly every value there is. */
const HARMLESS = /^[\n !#$%(-;=?-_a-~]*$/;

function escaped(text: string): string {
  if (HARMLESS.test(text)) return text;
  // Controls and direction marks could make a line read as something else than it is.
  return text
    .toWellFormed()
    .replace(/[&<>"'`]/g, (character) => ENTITIES[character] ?? '')
    .replace(/[^\P{Cc}\n\t]|\p{Bidi_Control}/gu, '\u{fffd}');
}
