/**
 * The support file as text: one UTF-8 file that opens with a double click everywhere, reads from top to bottom, and that an
 * operator can check before sending it. So it is no archive and no JSON: log lines inside JSON are hard to read.
 */
import { createRedactor } from './redaction.ts';
import type { Secret } from './secret.ts';
import type { Section } from './support-sections.ts';
import { visibleLines } from './terminal.ts';
import { VERSION } from './version.ts';

const HEAD = `Read this file before you send it.

In it: versions and platform; the effective configuration; warnings; state, verdict and last errors of the sidecar; findings
of check; metrics; the last lines of the log.

Not in it: client secrets, keys of callers, passwords, tokens, private keys; headers, queries and bodies of calls; variables
of the environment. Everything that was, or looks like, one of these is replaced by a mark: [secret] [token] [query] [pem]
[long value]. Fingerprints of secrets (8 hex digits) are in it: they tell secrets apart and give nothing away.

Parts of request paths that may be an account, a person or a payment are replaced by [id]: all that are not plain words.
Still in it, so look at them: names of hosts and addresses, names of folders and files (which can contain user names), client
ids, names of callers and routes, request ids, idempotency keys of calls with an unknown outcome, words in request paths.`;

/**
 * Returns the whole file, redacted.
 * @param secrets all that the process knows, tokens included
 */
export async function supportFile(sections: readonly Section[], secrets: readonly Secret[]): Promise<string> {
  const redact = createRedactor(secrets);
  const parts = [`aritma-sidecar ${VERSION}: support file of ${new Date().toISOString()}\n\n${HEAD}\n`];
  for (const { title, text } of sections) {
    // One by one: each pass over a text keeps the process busy.
    const clean = await redact(text.trimEnd());
    parts.push(`==== ${title} ====\n\n${visibleLines(clean)}\n`);
  }
  return parts.join('\n');
}

/** `aritma-sidecar-support-20260102T030405Z.txt`, by the time in UTC. */
export function supportFileName(now: Date): string {
  return `aritma-sidecar-support-${now.toISOString().replace(/[-:]|\.\d+/g, '')}.txt`;
}
