/**
 * `iam provision`: a service client from one file, from its flags to its exit code. What comes out of it is tried by the
 * doctor before anybody is told that it is done.
 */

import { diagnose } from '../../check/check.ts';
import type { Finding } from '../../check/finding.ts';
import { findingText, summaryText } from '../../check/text.ts';
import type { Doc } from '../../config/layers.ts';
import { loadConfig } from '../../config/load.ts';
import { sleep, systemClock } from '../../core/clock.ts';
import { SidecarError } from '../../core/errors.ts';
import type { Secret } from '../../core/secret.ts';
import { createReport, type Output, type Report } from '../../core/terminal.ts';
import { createIamApi } from '../../iam/api.ts';
import { type Desired, loadDesired } from '../../iam/provision/desired-state.ts';
import { type ProvisionOptions, runProvision } from '../../iam/provision/provision.ts';
import { sidecarDocument } from '../../iam/provision/sidecar-config.ts';
import type { IamConnection } from '../../iam/request.ts';
import type { Verdict } from '../../iam/rotation/verification.ts';
import { createIdentity, tokenKey } from '../../oauth/credentials.ts';
import { isWanted } from './confirm.ts';
import type { IamFlags } from './flags.ts';

/** What the command needs of the outside. */
export interface ProvisionSetup {
  /** With an administrator's rights. Called once the file is known to be right. */
  readonly connect: () => ProvisionIam | Promise<ProvisionIam>;
  /** Preset for the sidecar where the file names none: that of the connection. */
  readonly environment: string | undefined;
  readonly cwd: string;
  readonly output: Output;
  /** Whether there is somebody to ask. */
  readonly input: NodeJS.ReadableStream & { readonly isTTY?: boolean };
}

type ProvisionIam = AsyncDisposable & { readonly connection: IamConnection };

/**
 * `--file`, `--dry-run`, `--yes`, `--json`. Returns the doctor's exit code when all is done.
 * @throws SidecarError CONFIG_INVALID for the file or a missing --yes; what `runProvision` throws
 */
export async function provision(flags: IamFlags, setup: ProvisionSetup): Promise<number> {
  const { cwd, environment, output, input } = setup;
  const [dryRun, yes] = [flags['dryRun'] === true, flags['yes'] === true];
  if (!dryRun && !yes && !input.isTTY) {
    const message = 'is needed where nobody can be asked; --dry-run shows what would be done';
    throw new SidecarError('CONFIG_INVALID', { problems: [{ where: 'flag --yes', path: '', message }] });
  }
  const desired = loadDesired(String(flags['file']), { cwd, environment });
  const report = createReport(output, flags['json'] === true);
  await using open = await setup.connect();
  return await runProvision(desired, {
    iam: createIamApi(open.connection),
    verify: (clientId, secret) => tryToken(desired, { clientId, secret, cwd }),
    clock: { now: Date.now, sleep },
    report,
    dryRun,
    confirm: yes ? undefined : () => isWanted('\nDo this?', input),
    check: (document) => examine(document, { report, cwd }),
  } satisfies ProvisionOptions);
}

interface Candidate {
  readonly clientId: string;
  readonly secret: Secret;
  readonly cwd: string;
}

/** Asks for the token that callers will need, through the code that will serve them. */
async function tryToken(desired: Desired, { clientId, secret, cwd }: Candidate): Promise<Verdict> {
  const loaded = loadConfig({ document: sidecarDocument(desired, clientId).document, cwd });
  const { routes } = loaded.config;
  const route = routes.find(({ credential }) => credential === 'default');
  const secrets = new Map([['default', [{ name: 'stored', value: secret, kid: undefined, alg: undefined }]]]);
  const identity = createIdentity({ loaded: { ...loaded, secrets }, clock: systemClock });
  const scope = loaded.config.credentials['default']?.scope;
  const fallback = { credential: 'default', scope, audience: undefined, resource: undefined };
  try {
    const key = route ? tokenKey(route, loaded.config) : fallback;
    const response = await identity.credential('default').fetchToken(key);
    if (response.kind === 'token') return 'accepted';
    return response.kind === 'rejected' ? 'refused' : 'unavailable';
  } finally {
    await identity.end('close');
  }
}

async function examine(document: Doc, { report, cwd }: { report: Report; cwd: string }): Promise<number> {
  const findings: Finding[] = [];
  const onFinding = (finding: Finding) => {
    findings.push(finding);
    report.line({ text: findingText(finding), data: { ...finding } });
  };
  const { shortfalls: preconditions } = await import('../../sidecar/preconditions.ts');
  const code = await diagnose({ document, cwd }, { upstream: true, preconditions, onFinding });
  if (!report.json) report.line({ text: summaryText(findings), data: {} });
  return code;
}
