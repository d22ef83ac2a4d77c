/**
 * `rotate`: one rotation, run from a terminal or by a timer. Starts with the first step, or resumes an interrupted run.
 */

import { type LoadedConfig, type LoadOptions, loadConfig } from '../config/load.ts';
import { withPrograms } from '../config/secret-programs.ts';
import { sleep } from '../core/clock.ts';
import { createReport, type Report } from '../core/terminal.ts';
import type { Waiting } from '../iam/rotation/attempt.ts';
import { rotateCredential } from '../iam/rotation/credential-rotation.ts';
import type { Progress } from '../iam/rotation/retry.ts';
import type { Outcome } from '../iam/rotation/rotate.ts';
import type { FleetSecrets } from '../sidecar/fleet/fleet-secrets.ts';
import type { Flags } from './flags.ts';

const OK = 0;

/** The text of each step. */
const STEPS: Readonly<Record<Progress['step'], string>> = {
  started: 'rotation started',
  cleaned: 'deleted a secret that an earlier attempt left over',
  creating: 'creating a new secret',
  created: 'new secret created, verifying it',
  refused: 'new secret not accepted yet, trying again',
  retrying: 'request to Aritma IAM failed, trying again',
  verified: 'new secret accepted, storing it',
  promoted: 'new secret stored',
  retired: 'old secret deleted',
  abandoned: 'new secret not accepted in time, deleting it',
};

/**
 * Rotates the secret of `--credential`. Waits for the overlap unless `--no-wait`.
 * @throws SidecarError as `rotateCredential`
 */
export async function rotateOnce(flags: Flags, options: LoadOptions): Promise<number> {
  const report = createReport(process.stdout, flags['json'] === true);
  const credential = String(flags['credential']);
  let loaded = await withPrograms((printed) => loadConfig({ ...options, printed }));
  for (let after: Waiting | undefined; ; ) {
    const outcome = await runUntilPause(loaded, { credential, report, after });
    if (outcome.kind === 'rotated') {
      const expires = outcome.expiresAt === Infinity ? 'never' : new Date(outcome.expiresAt).toISOString();
      return say(report, `rotated; the new secret expires ${expires}`, { kind: 'rotated', credential, expires });
    }
    after = outcome;
    const until = new Date(outcome.until).toISOString();
    if (flags['wait'] === false) {
      const text = `the old secret stays valid during the overlap; run this command again after ${until} to delete it`;
      return say(report, text, { kind: 'waiting', credential, until });
    }
    say(report, `waiting until ${until} to delete the old secret (Ctrl-C is safe; a later run resumes)`, {
      ...{ kind: 'waiting', credential, until },
    });
    await sleep(outcome.until - Date.now());
    // Read the configuration again: it shows whether the new secret has arrived.
    const before = loaded;
    loaded = await withPrograms((printed) => before.reload(printed));
  }
}

interface Run {
  readonly credential: string;
  readonly report: Report;
  /** Set after a pause: another program may have finished this rotation meanwhile, and a new one must not start. */
  readonly after: Waiting | undefined;
}

/** Its code is loaded only where there is a fleet. */
async function joinFleet(loaded: LoadedConfig): Promise<FleetSecrets | undefined> {
  if (!loaded.config.fleet) return undefined;
  const { openFleetSecrets } = await import('../sidecar/fleet/fleet-secrets.ts');
  return openFleetSecrets(loaded);
}

async function runUntilPause(loaded: LoadedConfig, { credential, report, after }: Run): Promise<Outcome> {
  // A pause can last for days: no connection would.
  using fleet = await joinFleet(loaded);
  const share = fleet?.share;
  const onProgress = ({ step, fields }: Progress) => {
    const details = Object.entries(fields).map(([name, value]) => `${name}: ${value}`);
    const text = `${STEPS[step]}${details.length > 0 ? ` (${details.join(', ')})` : ''}`;
    report.line({ text, data: { step, credential, ...fields } });
  };
  return await rotateCredential({ loaded, credential, clock: { now: Date.now, sleep }, onProgress, after, share });
}

function say(report: Report, text: string, data: Readonly<Record<string, unknown>>): number {
  report.line({ text, data });
  return OK;
}
