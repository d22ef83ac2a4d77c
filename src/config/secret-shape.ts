/**
 * What a secret looks like when it is more than the secret: quotes, a variable's name, a whole document around it. Says which
 * shape and nothing of the value; a secret of that very shape can be right, so it is only said.
 */

interface Shape {
  readonly fits: (text: string) => boolean;
  /** Behind `the secret`. */
  readonly says: string;
}

const byPattern = (pattern: RegExp) => (text: string) => pattern.test(text);

/** The first that fits says most. */
const SHAPES: readonly Shape[] = [
  { fits: byPattern(/\0|^\uFFFD\uFFFD/), says: 'is UTF-16, as PowerShell’s `>` writes it: save it as ASCII or UTF-8' },
  { fits: byPattern(/-----BEGIN /), says: 'is PEM: keys are for auth: private_key_jwt' },
  { fits: isJson, says: 'is a whole JSON document: only the value belongs there' },
  {
    fits: byPattern(/^\s*(?:---\s*\n\s*)?["']?[A-Za-z][\w.-]*["']?: +\S/),
    says: 'is a line of YAML, `name: value`: only the value belongs there',
  },
  {
    fits: byPattern(
      /^\s*(?:(?:export|set|setx) +\w+|\$env:\w+ ?|[A-Z][A-Z0-9]*_[A-Z0-9_]*|\w*(?:secret|password)\w*)[= ](?=.*[^=])/i,
    ),
    says: 'is `NAME=value`: only the value belongs there',
  },
  { fits: byPattern(/\r|\n/), says: 'has several lines: only the value belongs there' },
  { fits: byPattern(/^\s*(["'`]).*\1\s*$|^[“”„«‘’]/), says: 'has quotes around it, which count as part of it' },
  {
    fits: byPattern(/^\s*(?:\$\{.*\}|\$\(.*\)|<.*>|\{\{.*\}\}|%\w+%)\s*$/),
    says: 'is a placeholder that nothing has been put into',
  },
  { fits: byPattern(/^(?:Basic|Bearer) /i), says: 'has the name of an Authorization scheme in front' },
  {
    fits: byPattern(/^\s|\s$/),
    says: 'begins or ends with a blank, which counts as part of it; `echo x > file` of cmd.exe leaves one',
  },
  {
    fits: byPattern(/^(?:file:|\/(?:run|etc|var|home|mnt|opt|secrets?)\/|[A-Z]:\\|~\/)/i),
    says: 'is the name of a file: `file` (ARITMA_CLIENT_SECRET_FILE) reads it from there',
  },
  { fits: byPattern(/%[0-9a-f]{2}/i), says: 'is percent-encoded: the value itself belongs there' },
  { fits: isBase64OfText, says: 'is base64 of text, as Kubernetes shows Secrets: `base64 --decode` gives the value' },
];

/** What follows `the secret`, or undefined when it looks like one. Never quotes it. */
export function shapeOf(text: string): string | undefined {
  return SHAPES.find(({ fits }) => fits(text))?.says;
}

function isJson(text: string): boolean {
  if (!/^\s*[[{]/.test(text)) return false;
  try {
    return typeof JSON.parse(text) === 'object';
  } catch {
    return false;
  }
}

/** Bytes at random are hardly ever all of them letters. */
function isBase64OfText(text: string): boolean {
  if (text.length < 12 || text.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return false;
  return /^[\x20-\x7e]+\r?\n?$/.test(Buffer.from(text, 'base64').toString('latin1'));
}
