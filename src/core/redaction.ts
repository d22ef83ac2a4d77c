/**
 * The last look at a text that leaves the machine: replaces every known secret and token, and everything that looks like
 * one, whatever wrote it. The marks say what was there: `[secret]`, `[token]`, `[query]`, `[pem]`, `[long value]`, `[id]`.
 */
import type { Secret } from './secret.ts';

/** Applied in this order: the first ones take what later ones would cut in pieces. */
const SHAPES: readonly (readonly [pattern: RegExp, replacement: string])[] = [
  [/-----BEGIN [^\n]*?-----[\s\S]*?(?:-----END [^\n]*?-----|$)/g, '[pem]'],
  // User name and password of a URL (RFC 3986 §3.2.1).
  [/(:\/\/)[^\s/?#"'<>\\]*@/g, '$1[secret]@'],
  // Begins only where a word does: from each `/` of a long path, it would read to its end again.
  [/(?<![^\s?#"'<>\\])([^\s?#"'<>\\/]*\/[^\s?#"'<>\\]*)\?(?!\s)[^\s"'<>\\]+/g, '$1?[query]'],
  // JSON that begins with `{"` in base64: a JWT, whole or cut.
  [/eyJ[\w-]{8,}(?:\.[\w-]*)*/g, '[token]'],
  [/\b(Bearer|Basic|DPoP|Negotiate|NTLM) +(?!authentication|\[)[\w+/.~=-]{8,}/gi, '$1 [secret]'],
  [
    /\b((?:client[_-]secret|client_assertion|access_token|refresh_token|id_token|password|passwd|pwd|api[_-]?key|(?:x-)?api-key|x-sidecar-key|(?:proxy-)?authorization|(?:set-)?cookie)\\{0,3}["']?[ \t]*[:=][ \t]*\\{0,3}["']?)(?!\[|(?:Bearer|Basic|DPoP|Negotiate|NTLM) )[^\s"'&,;{}<>[\]\\]+/gi,
    '$1[secret]',
  ],
  // Long, with small and capital letters and digits: random. Fingerprints and ids are hexadecimal and stay.
  [/(?<![\w-])(?=[\w-]*[a-z])(?=[\w-]*[A-Z])(?=[\w-]*\d)[\w-]{32,}(?![\w-])/g, '[long value]'],
];

/**
 * Returns a function that redacts a text. It gives way to other work after each secret, so that a process that serves
 * callers can use it.
 * @param secrets all that the process knows, tokens included
 */
export function createRedactor(secrets: readonly Secret[]): (text: string) => Promise<string> {
  return async (text) => {
    let rest = text;
    for (const secret of secrets) {
      rest = secret.maskIn(rest);
      await otherWork();
    }
    for (const [pattern, replacement] of SHAPES) {
      rest = rest.replace(pattern, replacement);
      await otherWork();
    }
    return rest;
  };
}

function otherWork(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** The path of a call in a log line, as JSON or as text. */
const LOGGED_PATH = /("path":"|\bpath="?)(\/(?:[^"\s\\]|\\\S)*)/g;
/** A word of an API: letters, at most two digits (`v1`, `iso20022` is none). */
const WORD = /^[A-Za-z][A-Za-z_.-]{0,31}\d{0,2}$/;

/**
 * Replaces the parts of logged request paths that may be an account number, a person or a payment: all that are not plain
 * words. Paths of files and routes stay.
 */
export function maskPathIds(log: string): string {
  return log.replace(LOGGED_PATH, (_, before: string, path: string) => {
    const parts = path.split('/').map((part) => (part === '' || WORD.test(part) ? part : '[id]'));
    return before + parts.join('/');
  });
}
