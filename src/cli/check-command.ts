/**
 * `check`: runs the doctor once, or with `--watch` again and again until nothing is wrong. Ends with the one next step.
 */
import { createHash } from 'node:crypto';
import { diagnose } from '../check/check.ts';
import type { Finding } from '../check/finding.ts';
import { nextStep } from '../check/next-step.ts';
import { findingText, summaryText } from '../check/text.ts';
import { type LoadedConfig, type LoadOptions, loadConfig } from '../config/load.ts';
import type { PrintedBy } from '../config/secret-programs.ts';
import { secretsIn } from '../config/support-section.ts';
import { SidecarError } from '../core/errors.ts';
import { createReport, type Report } from '../core/terminal.ts';
import { shortfalls } from '../sidecar/preconditions.ts';
import { watch } from './check-watch.ts';
import { duration, type Flags } from './flags.ts';

/** Returns the exit code of the findings; with `--watch`, of the last ones. */
export async function checkOnce(flags: Flags, options: LoadOptions): Promise<number> {
  const report = createReport(process.stdout, flags['json'] === true);
  const upstream = flags['upstream'] !== false;
  const load: Load = (printed) => loadConfig({ ...options, ...(printed && { printed }) });
  const everyMs = duration(flags['every'] ?? '5s', '--every');
  if (flags['watch'] === true) return watchChecks({ report, upstream, load, everyMs });
  if (flags['every'] !== undefined) throw new SidecarError('CONFIG_INVALID', { problems: [ALONE] });
  const result = await run({ upstream, load, onFinding: (finding) => tell(report, finding) });
  finish(report, result);
  return result.code;
}

const ALONE = { where: 'flag --every', path: '', message: 'needs --watch; add --watch, or leave out --every' };

type Load = (printed?: PrintedBy) => LoadedConfig;

interface Run {
  readonly upstream: boolean;
  readonly load: Load;
  readonly onFinding: (finding: Finding) => void;
}

interface Result {
  readonly code: number;
  readonly findings: readonly Finding[];
  readonly loaded: LoadedConfig | undefined;
}

async function run({ upstream, load, onFinding }: Run): Promise<Result> {
  const findings: Finding[] = [];
  let loaded: LoadedConfig | undefined;
  const keep: Load = (printed) => {
    loaded = load(printed);
    return loaded;
  };
  const onNext = (finding: Finding) => {
    findings.push(finding);
    onFinding(finding);
  };
  const code = await diagnose(keep, { upstream, preconditions: shortfalls, onFinding: onNext });
  return { code, findings, loaded };
}

function tell(report: Report, finding: Finding): void {
  report.line({ text: findingText(finding), data: { ...finding } });
}

function finish(report: Report, { code, findings, loaded }: Result): void {
  const step = nextStep(findings, loaded);
  report.line({
    text: `${summaryText(findings)}\nnext: ${step.next}`,
    data: { subject: 'next step', ...step, exit: code },
  });
}

interface Watching extends Omit<Run, 'onFinding'> {
  readonly report: Report;
  readonly everyMs: number;
}

async function watchChecks({ report, upstream, load, everyMs }: Watching): Promise<number> {
  const interrupted = Promise.withResolvers<void>();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => interrupted.resolve());
  const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
  let latest: LoadedConfig | undefined;
  // With what programs printed for the last check: only the next check runs them again.
  const now = () => fingerprint(() => latest?.reload() ?? load());
  const { result, code } = await watch<Result & { readonly fingerprint: string }>({
    async check() {
      const before = now();
      const checked = await run({ upstream, load, onFinding: () => undefined });
      const { loaded } = checked;
      latest = loaded ?? latest;
      return { ...checked, fingerprint: loaded ? fingerprint(() => loaded) : before };
    },
    fingerprint: now,
    wait: (ms) => Promise.race([pause(ms), interrupted.promise]),
    interrupted: interrupted.promise,
    everyMs,
    onFirst: ({ findings }) => {
      for (const finding of findings) tell(report, finding);
    },
    onChange: ({ text, finding, was }) => {
      const time = new Date().toISOString();
      report.line({ text: `${time.slice(11, 19)}  ${text}`, data: { time, was, ...finding } });
    },
  });
  if (result) finish(report, result);
  return code;
}

/** Equal while configuration and secrets are the same. Reads files, asks no server. */
function fingerprint(load: () => LoadedConfig): string {
  try {
    const loaded = load();
    const hash = createHash('sha256').update(JSON.stringify(loaded.document));
    for (const secret of secretsIn(loaded)) hash.update(secret.digest());
    for (const files of loaded.tls.values()) for (const file of Object.values(files)) hash.update(file);
    return hash.digest('hex');
  } catch (error) {
    if (!(error instanceof SidecarError)) throw error;
    return JSON.stringify(error.extras.problems);
  }
}
