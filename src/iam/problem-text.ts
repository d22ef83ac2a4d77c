/**
 * Turns an error body of Aritma IAM into one line for a person. Promises that the line holds no part of a secret or
 * token, in whatever encoding the server quotes it, and no terminal control characters.
 */
import type { Secret } from '../core/secret.ts';

const MAX_CHARS = 300;
/** Only this much is masked: a server may send any amount. */
const MAX_READ_CHARS = 4000;
/**
 * This many characters in a row that also occur in a secret count as a piece of it: servers shorten what they quote.
 */
const PIECE = 6;

/**
 * Returns title and detail (RFC 9457) and ASP.NET's `errors`, at most 300 characters; empty when the body has none of
 * them.
 * @param secrets masked as `[secret]`, also in part
 */
export function problemText(body: unknown, secrets: readonly Secret[]): string {
  if (typeof body !== 'object' || body === null) return '';
  const { title, detail, errors } = body as Record<string, unknown>;
  const fields = Object.entries(typeof errors === 'object' && errors !== null ? errors : {});
  const parts = [title, detail, ...fields.map(([field, messages]) => `${field}: ${wordsOf(messages)}`)];
  const line = parts
    .filter((part) => typeof part === 'string' && part !== '')
    .join('; ')
    .slice(0, MAX_READ_CHARS)
    .replace(/[^\x20-\x7e\u00a0-\uffff]+|\p{Cf}+/gu, ' ');
  const masked = secrets.reduce((text, secret) => mask(text, secret.reveal().replace(/^Bearer /, '')), line);
  return masked.replace(/[\w-]+\.[\w-]+\.[\w-]{20,}/g, '[token]').slice(0, MAX_CHARS);
}

function wordsOf(messages: unknown): string {
  return [messages]
    .flat()
    .filter((message) => typeof message === 'string')
    .join(' ');
}

function mask(line: string, value: string): string {
  const folded = line.toLowerCase();
  const hidden = new Set<number>();
  for (const spelling of spellingsOf(value)) {
    const size = Math.min(PIECE, spelling.length);
    for (let at = 0; size > 0 && at + size <= folded.length; at += 1) {
      if (!spelling.includes(folded.slice(at, at + size))) continue;
      for (let index = at; index < at + size; index += 1) hidden.add(index);
    }
  }
  return Array.from({ length: line.length }, (_, index) => {
    if (!hidden.has(index)) return line.charAt(index);
    return hidden.has(index - 1) ? '' : '[secret]';
  }).join('');
}

/** The value as sent, and in the encodings that programs on the way use. */
function spellingsOf(value: string): string[] {
  const spellings = [
    value,
    encodeURIComponent(value),
    new URLSearchParams({ value }).toString().slice('value='.length),
    JSON.stringify(value).slice(1, -1),
    Buffer.from(value).toString('base64'),
  ];
  return [...new Set(spellings.map((spelling) => spelling.toLowerCase()))];
}
