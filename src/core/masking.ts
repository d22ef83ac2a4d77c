/**
 * Replaces a secret value in text by `[secret]`: as it is, and in the encodings in which it travels, which all give the
 * value back to who reads them. Hides the arithmetic of base64, where a value inside a longer text has three forms.
 */

const MASK = '[secret]';
/** Characters. A shorter value is masked only as a whole word, else it would tear holes into ordinary words. */
const MIN_ANYWHERE = 6;
const MIN_MASKED = 3;
/** A value of several lines (a key in PEM) also shows in each of its lines. */
const MIN_LINE = 16;
/** Shortest beginning of a value that is masked before `…`. */
const MIN_CUT = 4;

/** Returns the text without the value and its encodings. @param value may begin with `Bearer ` */
export function maskValue(text: string, value: string): string {
  const bare = value.replace(/^Bearer /, '').trim();
  if (bare.length < MIN_MASKED) return text;
  if (bare.length < MIN_ANYWHERE) return text.replace(new RegExp(`(?<!\\w)${literally(bare)}(?!\\w)`, 'g'), MASK);
  const lines = bare.split(/\r?\n/).filter((line) => line.length >= MIN_LINE);
  const forms = [...new Set([...formsOf(bare), ...lines])];
  return forms.reduce((rest, form) => maskCut(rest.replaceAll(form, MASK), form), text);
}

function literally(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&');
}

function formsOf(value: string): string[] {
  const bytes = Buffer.from(value);
  const escapes = [escaped(value), escaped(escaped(value)), escaped(escaped(escaped(value)))];
  const hex = bytes.toString('hex');
  return [
    ...[value, ...escapes, ...percentForms(value.toWellFormed(), hex), ...base64Forms(bytes)],
    ...[hex, hex.toUpperCase(), [...value].reverse().join('')],
  ];
}

/** As in a JSON string; log lines and status may carry JSON inside JSON. */
function escaped(value: string): string {
  return JSON.stringify(value).slice(1, -1);
}

function percentForms(value: string, hex: string): string[] {
  const component = encodeURIComponent(value);
  const form = new URLSearchParams({ v: value }).toString().slice('v='.length);
  const all = hex.replace(/../g, '%$&');
  const lower = (text: string) => text.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase());
  const once = [component, form, lower(component), lower(form), all, all.toUpperCase()];
  return [...once, encodeURIComponent(component), encodeURIComponent(form)];
}

/** Of `id:value`, base64 shows the value shifted by the length of the id: one form for each remainder of three. */
function base64Forms(bytes: Buffer): string[] {
  const plain = [0, 1, 2].map((shift) => {
    const text = Buffer.concat([Buffer.alloc(shift), bytes]).toString('base64');
    // Characters at both ends also depend on the neighbours.
    const first = shift === 0 ? 0 : shift + 1;
    return text.endsWith('=') ? text.slice(first).replace(/.=+$/, '') : text.slice(first);
  });
  const all = [bytes.toString('base64'), ...plain];
  return [...all, ...all.map((text) => text.replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, ''))];
}

/**
 * Masks the beginning of a value where a text was shortened in the middle of it. Looks for the beginning, which is rare: a
 * pattern that ends with `…` would be tried at every character of a long text, for seconds.
 */
function maskCut(text: string, form: string): string {
  if (!text.includes('…')) return text;
  const least = form.slice(0, MIN_CUT);
  let masked = '';
  let done = 0;
  let at = text.indexOf(least);
  while (at >= 0) {
    const end = endOfCommon(text, at, form);
    if (text[end] === '…') {
      masked += text.slice(done, at) + MASK;
      done = end;
    }
    at = text.indexOf(least, Math.max(at + 1, done));
  }
  return masked + text.slice(done);
}

/** Index of the first character that the text at this place does not share with the form. */
function endOfCommon(text: string, at: number, form: string): number {
  let length = MIN_CUT;
  while (length < form.length && text[at + length] === form[length]) length += 1;
  return at + length;
}
