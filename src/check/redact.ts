/**
 * A last line of defence: some findings quote a name that a server gave, and a server could give back what it was sent.
 */
import type { Secret } from '../core/secret.ts';
import type { Finding } from './finding.ts';

/** Shorter ones are no secrets but would take ordinary words out of the text. */
const MIN_LENGTH = 6;

/** The same finding with every one of these secrets, or of the tokens among them, taken out. */
export function mask(finding: Finding, secrets: readonly Secret[]): Finding {
  const values = secrets
    .map((secret) => secret.reveal().replace(/^Bearer /, ''))
    .filter(({ length }) => length >= MIN_LENGTH);
  const clean = (text: string) => values.reduce((rest, value) => rest.replaceAll(value, '[secret]'), text);
  const { fix } = finding;
  return { ...finding, message: clean(finding.message), ...(fix !== undefined && { fix: clean(fix) }) };
}
