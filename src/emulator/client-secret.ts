// Reads client id and secret of a token request, from the Authorization header or the form. Hides the two encodings;
// chooses like IdentityServer when both are present.

export interface PresentedClient {
  clientId: string;
  /** Absent if the client sent only its id. */
  secret?: string;
}

const MAX_LENGTH = 100;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/**
 * Decodes one `application/x-www-form-urlencoded` name or value (RFC 6749 App. B).
 * Undefined if the escapes are broken, the bytes are not UTF-8, or the value contains NUL.
 */
export function decodeFormPart(encoded: string): string | undefined {
  try {
    const decoded = decodeURIComponent(encoded.replaceAll('+', ' '));
    return decoded.includes('\0') ? undefined : decoded;
  } catch {
    return undefined;
  }
}

/**
 * Finds the client of a token request. The first method that yields a secret wins, Basic before the form; a method
 * that is malformed or too long counts as absent. Source: IdentityServer SecretParser and RFC 6749 §2.3.1.
 */
export function findPresentedClient(
  authorization: string | undefined,
  form: ReadonlyMap<string, string>,
): PresentedClient | undefined {
  const found = [readBasic(authorization), readForm(form)].filter((presented) => presented !== undefined);
  return found.find((presented) => presented.secret !== undefined) ?? found[0];
}

function readBasic(authorization = ''): PresentedClient | undefined {
  const encoded = /^Basic (.*)$/i.exec(authorization)?.[1]?.trim();
  if (!encoded || !BASE64.test(encoded)) return undefined;
  const pair = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = pair.indexOf(':');
  if (colon < 0) return undefined;
  return present(decodeFormPart(pair.slice(0, colon)), decodeFormPart(pair.slice(colon + 1)));
}

function readForm(form: ReadonlyMap<string, string>): PresentedClient | undefined {
  return present(form.get('client_id'), form.get('client_secret') ?? '');
}

function present(clientId: string | undefined, secret: string | undefined): PresentedClient | undefined {
  if (!clientId || secret === undefined) return undefined;
  if (clientId.length > MAX_LENGTH || secret.length > MAX_LENGTH) return undefined;
  return secret === '' ? { clientId } : { clientId, secret };
}
