/**
 * Repeats a check until nothing is wrong, and tells only what changed. Each check requests a token with each secret, so it
 * waits longer and longer while nothing changes; a changed file is checked at once.
 */
import type { Finding } from '../check/finding.ts';

interface Checked {
  /** 0 = nothing is wrong. */
  readonly code: number;
  readonly findings: readonly Finding[];
  /** Of the configuration and secrets that were checked. */
  readonly fingerprint: string;
}

export interface Change {
  /** One line for people. */
  readonly text: string;
  readonly finding: Finding;
  /** The level before; `absent` when the finding is new. */
  readonly was: Finding['level'] | 'absent';
}

export interface WatchOptions<Result extends Checked> {
  readonly check: () => Promise<Result>;
  /** Of what the files say now: equal to that of the last check while they are the same. Runs no program. */
  readonly fingerprint: () => string;
  /** Resolves after this time, or earlier when interrupted. */
  readonly wait: (ms: number) => Promise<void>;
  /** Resolves when the user wants no more. */
  readonly interrupted: Promise<void>;
  readonly everyMs: number;
  readonly onFirst: (result: Result) => void;
  readonly onChange: (change: Change) => void;
}

/** Before the first result. */
const NOTHING_YET = 10;
/** Between two checks while nothing changes. A server that refuses a secret may lock the client out. */
const LONGEST_MS = { refused: 300_000, otherwise: 60_000 } as const;
const LEAST_MS = 1000;

/** Resolves with the last result when it has code 0, or when interrupted. */
export async function watch<Result extends Checked>(
  options: WatchOptions<Result>,
): Promise<{ readonly result: Result | undefined; readonly code: number }> {
  let isOver = false;
  const over = options.interrupted.then(() => {
    isOver = true;
    return undefined;
  });
  let last: Result | undefined;
  let [hasChanged, waitMs] = [true, 0];
  while (!isOver) {
    const result = await Promise.race([options.check(), over]);
    if (result === undefined) break;
    const isQuiet = announce(last, result, options);
    last = result;
    if (result.code === 0) break;
    // Other findings may come and go while the server refuses the secrets, of which a program can print a new one each time.
    const goesOn = !hasChanged && (isQuiet || isRefused(result));
    waitMs = goesOn ? longer(waitMs, result) : Math.max(options.everyMs, LEAST_MS);
    hasChanged = await waitForChange(waitMs, result.fingerprint, options, () => isOver);
  }
  return { result: last, code: last?.code ?? NOTHING_YET };
}

/** Returns whether there was nothing to tell. */
function announce<Result extends Checked>(
  last: Result | undefined,
  result: Result,
  { onFirst, onChange }: WatchOptions<Result>,
): boolean {
  if (!last) {
    onFirst(result);
    return false;
  }
  const changes = changesOf(last.findings, result.findings);
  for (const change of changes) onChange(change);
  return changes.length === 0;
}

function isRefused({ findings }: Checked): boolean {
  return findings.some(({ code, cause = '' }) => code === 'CREDENTIALS_REJECTED' || /429/.test(cause));
}

function longer(waitMs: number, result: Checked): number {
  return Math.max(waitMs, Math.min(isRefused(result) ? LONGEST_MS.refused : LONGEST_MS.otherwise, waitMs * 2));
}

/** Waits, but not longer than until the configuration differs. Returns whether it does. */
async function waitForChange<Result extends Checked>(
  totalMs: number,
  known: string,
  { everyMs, wait, fingerprint }: WatchOptions<Result>,
  isOver: () => boolean,
): Promise<boolean> {
  const stepMs = Math.max(everyMs, LEAST_MS);
  for (let leftMs = totalMs; leftMs > 0 && !isOver(); leftMs -= stepMs) {
    await wait(Math.min(stepMs, leftMs));
    if (fingerprint() !== known) return true;
  }
  return false;
}

/** Findings that are new, gone, or other than before. Numbers do not count: times and ages differ each time. */
function changesOf(before: readonly Finding[], now: readonly Finding[]): Change[] {
  const [old, next] = [byKey(before), byKey(now)];
  const changed = [...next].flatMap(([key, finding]) => {
    const was = old.get(key);
    return was && sayingOf(was) === sayingOf(finding) ? [] : [changeTo(finding, was?.level ?? 'absent')];
  });
  const gone = [...old].filter(([key, { level }]) => !next.has(key) && level !== 'ok');
  return [
    ...changed,
    ...gone.map(([, { level, subject }]) => changeTo({ level: 'ok', subject, message: 'no longer found' }, level)),
  ];
}

/** A subject can have many findings: each of its own cause, and each warning of the configuration. */
function byKey(findings: readonly Finding[]): Map<string, Finding> {
  const seen = new Map<string, number>();
  const entries = findings.map((finding) => {
    const count = seen.get(finding.subject) ?? 0;
    seen.set(finding.subject, count + 1);
    return [`${finding.subject}\n${count}`, finding] as const;
  });
  return new Map(entries);
}

function sayingOf({ level, cause, message }: Finding): string {
  return [level, cause, message.replace(/\d+/g, '0')].join('\n');
}

const WORDS = { ok: 'ok', warning: 'warn', error: 'FAIL', absent: '-' } as const;

function changeTo(finding: Finding, was: Change['was']): Change {
  const { level, subject, message, fix } = finding;
  const advice = fix === undefined ? '' : ` → ${fix}`;
  return { finding, was, text: `${WORDS[was]} → ${WORDS[level]}  ${subject}: ${message}${advice}` };
}
