/**
 * `iam provision`: creates a service client from one file, from its flags to its exit code. Runs the checks of `check` on the
 * result before it reports success.
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

/** What the command needs from outside. */
export interface ProvisionSetup {
  /** Connects with the rights of an administrator. Called once the file is valid. */
  readonly connect: () => ProvisionIam | Promise<ProvisionIam>;
  /** Environment of the connection; used for the sidecar when the file names none. */
  readonly environment: string | undefined;
  readonly cwd: string;
  readonly output: Output;
  /** A terminal if somebody can confirm. */
  readonly input: NodeJS.ReadableStream & { readonly isTTY?: boolean };
}

type ProvisionIam = AsyncDisposable & { readonly connection: IamConnection };

/**
 * Takes `--file`, `--dry-run`, `--yes`, `--json`. Returns the exit code of the checks.
 * @throws SidecarError CONFIG_INVALID for the file or a missing --yes; as `runProvision`
 */
export async function provision(flags: IamFlags, setup: ProvisionSetup): Promise<number> {
  const { cwd, environment, output, input } = setup;
  const [dryRun, yes] = [flags['dryRun'] === true, flags['yes'] === true];
  if (!dryRun && !yes && !input.isTTY) {
    const message = 'is required: standard input is not a terminal, so nobody can confirm; --dry-run shows the plan';
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
    confirm: yes ? undefined : () => isWanted('\nApply this plan?', input),
    check: (document) => examine(document, { report, cwd }),
  } satisfies ProvisionOptions);
}

interface Candidate {
  readonly clientId: string;
  readonly secret: Secret;
  readonly cwd: string;
}

/** Requests the token that callers will need, with the code that will serve them. */
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
