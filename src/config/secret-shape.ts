/**
 * Recognises text that is more than the secret: with quotes, a variable name or a whole document around it. Names the
 * shape, never the value. Gives only a warning, because a real secret can have such a shape.
 */

interface Shape {
  readonly fits: (text: string) => boolean;
  /** Follows `the secret` in a message. */
  readonly says: string;
}

const byPattern = (pattern: RegExp) => (text: string) => pattern.test(text);

/** The first match is the most specific. */
const SHAPES: readonly Shape[] = [
  { fits: byPattern(/\0|^\uFFFD\uFFFD/), says: 'is UTF-16, which `>` of PowerShell writes: save it as ASCII or UTF-8' },
  { fits: byPattern(/-----BEGIN /), says: 'is PEM: a key needs auth: private_key_jwt' },
  { fits: isJson, says: 'is a JSON document: use only the value' },
  {
    fits: byPattern(/^\s*(?:---\s*\n\s*|#.*\n\s*)*(?:- +)?["']?[A-Za-z][\w.-]*["']?:(?: +\S|[ \t]*\r?\n)/),
    says: 'is YAML, `name: value`: use only the value',
  },
  { fits: byPattern(/^\s*<(?:\?xml|\w+(?:\s[^>]*[=/]|>[\s\S]*<\/))/), says: 'is XML: use only the value' },
  { fits: byPattern(/^eyJ[\w-]+\.[\w-]+\.[\w-]*$/), says: 'is a JWT: a token, not the client secret' },
  {
    fits: byPattern(/^(?:@Microsoft\.KeyVault\(|arn:aws|op:\/\/|vault:|projects\/[\w-]+\/secrets\/)/i),
    says: 'is the name of a secret in a store: put the value there, not the name',
  },
  {
    fits: byPattern(/^01000000d08c9ddf/i),
    says: 'is encrypted by PowerShell (ConvertFrom-SecureString): decrypt it first',
  },
  {
    fits: byPattern(
      /^\s*(?:(?:export|set|setx) +\w+|\$env:\w+ ?|[A-Z][A-Z0-9]*_[A-Z0-9_]*|[\w.-]*(?:secret|password|passwd|pwd|key)[\w.-]*)[= ](?=.*[^=])/i,
    ),
    says: 'is `NAME=value`: use only the value',
  },
  { fits: byPattern(/\r|\n/), says: 'has several lines: use only the value' },
  { fits: byPattern(/^\s*(["'`]).*\1\s*$|^[“”„«‘’]/), says: 'has quotes around it, which become part of the secret' },
  {
    fits: byPattern(/^\s*(?:\$\{.*\}|\$\(.*\)|<.*>|\{\{.*\}\}|%\w+%)\s*$/),
    says: 'is a placeholder that was not replaced',
  },
  { fits: byPattern(/^(?:Basic|Bearer) /i), says: 'begins with an Authorization scheme: use only the value' },
  {
    fits: byPattern(/^\s|\s$/),
    says: 'begins or ends with a space, which becomes part of the secret; `echo x > file` in cmd.exe adds one',
  },
  {
    fits: byPattern(/^(?:file:|\/(?:run|etc|var|home|mnt|opt|secrets?)\/|[A-Z]:\\|~\/)/i),
    says: 'is a file name: use `file` (ARITMA_CLIENT_SECRET_FILE) to read the secret from a file',
  },
  { fits: byPattern(/%[0-9a-f]{2}/i), says: 'is percent-encoded: use the decoded value' },
  { fits: isBase64OfText, says: 'is base64 of text, as Kubernetes shows Secrets: decode it with `base64 --decode`' },
];

/** Returns the warning that follows `the secret`, or undefined when it looks like a secret. Never quotes it. */
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

/** Random bytes rarely decode to printable text only. */
function isBase64OfText(text: string): boolean {
  if (text.length < 12 || text.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return false;
  return /^[\x20-\x7e]+\r?\n?$/.test(Buffer.from(text, 'base64').toString('latin1'));
}
