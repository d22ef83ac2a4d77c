/**
 * The doctor's findings as text, for a support file: within a time limit, because somebody waits for the file, and the other
 * sections are worth having without them.
 */
import { diagnose } from '../check/check.ts';
import type { Finding } from '../check/finding.ts';
import { findingText, summaryText } from '../check/text.ts';
import type { LoadedConfig } from '../config/load.ts';
import type { PrintedBy } from '../config/secret-programs.ts';
import { within } from '../net/bounded-request.ts';
import { shortfalls } from '../sidecar/preconditions.ts';

/** Longer than a check takes within its own limits. */
const LIMIT_MS = 30_000;

/** Runs the doctor and returns what it found until the limit. Never throws: a bug in it must not cost the file. */
export async function doctorText(load: (printed?: PrintedBy) => LoadedConfig): Promise<string> {
  const found: Finding[] = [];
  const onFinding = (finding: Finding) => void found.push(finding);
  const run = diagnose(load, { upstream: true, preconditions: shortfalls, onFinding }).then(
    () => summaryText(found),
    (error: unknown) => `\nnot finished: unexpected error (${(error as Error).name})`,
  );
  const end = await within(LIMIT_MS, run, () => `\nnot finished within ${LIMIT_MS / 1000} s`);
  return [...found.map(findingText), end].join('\n');
}
