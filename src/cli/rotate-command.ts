/**
 * `rotate`: one rotation from a terminal or a timer of the operator's, from its first step or from where the last run was
 * stopped.
 */

import { type LoadedConfig, type LoadOptions, loadConfig } from '../config/load.ts';
import { sleep } from '../core/clock.ts';
import { createReport, type Report } from '../core/terminal.ts';
import { rotateCredential } from '../iam/rotation/credential-rotation.ts';
import type { Progress } from '../iam/rotation/retry.ts';
import type { Outcome } from '../iam/rotation/rotate.ts';
import type { Flags } from './flags.ts';

const OK = 0;

/** Plain words for each step. */
const STEPS: Readonly<Record<Progress['step'], string>> = {
  started: 'begun',
  cleaned: 'deleted a secret that an earlier attempt left behind',
  creating: 'creating a new secret',
  created: 'new secret created, proving it',
  refused: 'not accepted yet, trying again',
  retrying: 'Aritma IAM does not respond as it should, trying again',
  verified: 'new secret accepted, putting it in its place',
  promoted: 'new secret in place',
  retired: 'old secret deleted',
  abandoned: 'new secret was never accepted, deleting it',
};

/**
 * Rotates the secret of `--credential`. Waits for the overlap unless `--no-wait`.
 * @throws SidecarError what `rotateCredential` throws
 */
export async function rotateOnce(flags: Flags, options: LoadOptions): Promise<number> {
  const report = createReport(process.stdout, flags['json'] === true);
  const credential = String(flags['credential']);
  let loaded = loadConfig(options);
  for (let onlyGoOn = false; ; onlyGoOn = true) {
    const outcome = await runUntilPause(loaded, { credential, report, onlyGoOn });
    if (outcome.kind === 'rotated') {
      const expires = new Date(outcome.expiresAt).toISOString();
      return say(report, `rotated; the new secret expires ${expires}`, { kind: 'rotated', credential, expires });
    }
    const until = new Date(outcome.until).toISOString();
    if (flags['wait'] === false) {
      const text = `the old secret stays valid for everybody to notice; run this again after ${until} to delete it`;
      return say(report, text, { kind: 'waiting', credential, until });
    }
    say(report, `waiting until ${until} before the old secret is deleted (Ctrl-C is safe: run this again later)`, {
      ...{ kind: 'waiting', credential, until },
    });
    await sleep(outcome.until - Date.now());
    // Whether the new secret has arrived where this program reads it, the configuration says.
    loaded = loaded.reload();
  }
}

interface Run {
  readonly credential: string;
  readonly report: Report;
  /** After a pause, in which another program may have ended what this one waits for: that is no reason for another. */
  readonly onlyGoOn: boolean;
}

async function runUntilPause(loaded: LoadedConfig, { credential, report, onlyGoOn }: Run): Promise<Outcome> {
  const onProgress = ({ step, fields }: Progress) => {
    const details = Object.entries(fields).map(([name, value]) => `${name}: ${value}`);
    const text = `${STEPS[step]}${details.length > 0 ? ` (${details.join(', ')})` : ''}`;
    report.line({ text, data: { step, credential, ...fields } });
  };
  return rotateCredential({ loaded, credential, clock: { now: Date.now, sleep }, onProgress, onlyGoOn });
}

function say(report: Report, text: string, data: Readonly<Record<string, unknown>>): number {
  report.line({ text, data });
  return OK;
}
