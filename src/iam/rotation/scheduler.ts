/**
 * Rotates the client secrets of a running sidecar when they are due, and asks Aritma IAM when they expire. Runs in the
 * background and never delays a request. Failures are logged, counted and retried later.
 */
import type { LoadedConfig } from '../../config/load.ts';
import { SidecarError } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import type { Metrics } from '../../core/metrics.ts';
import { createIamApi } from '../api.ts';
import { connectIam } from '../connection.ts';
import { listOnce } from './client-secrets.ts';
import { type Journal, parseJournal } from './journal.ts';
import type { Progress } from './retry.ts';
import { dueAt, expiries } from './schedule.ts';
import type { SecretSharing } from './store.ts';
import type { RotationClock } from './verification.ts';

export interface RotationSchedulerOptions {
  readonly current: () => LoadedConfig;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly clock: RotationClock;
  /** Calls `run` about every `ms` until the returned function is called. */
  readonly every: (ms: number, run: () => void) => () => void;
  readonly fleet: SecretSharing;
  /** Reads the secrets again: a file tells that there is a new one, a program does not. */
  readonly readAgain?: () => void;
}

export interface RotationScheduler {
  /** Returns what is known of a credential's secrets. */
  view(credential: string): SecretsView | undefined;
  /** Begins nothing new. A rotation under way stops at its next pause and continues from there at the next start. */
  close(): Promise<void>;
}

export interface SecretsView {
  /** Epoch ms by name of the secret. */
  readonly expiries: ReadonlyMap<string, number>;
  readonly rotation: RotationView | undefined;
}

/** Times in epoch ms. */
export interface RotationView {
  readonly state: 'idle' | 'overlap' | 'failing';
  readonly rotatedAt: number | undefined;
  readonly nextAt: number | undefined;
  readonly lastError: { readonly code: string; readonly at: number } | undefined;
}

const LOOK_MS = 10_000;
/** IAM and the journal are read again at least this often: others may have changed them. */
const REFRESH_MS = 3_600_000;
const RETRY_MS = 60_000;
/** ms for a request to IAM that is under way at `close`; the next start finds out its effect. */
const CLOSE_MS = 2000;

interface CredentialState {
  ticking: Promise<void> | undefined;
  expiries: ReadonlyMap<string, number>;
  /** Fingerprints of the secrets the expiries belong to: other secrets need another look. */
  secrets: string;
  readAgainAt: number;
  rotateAt: number;
  failures: number;
  journal: Journal | undefined;
  lastError: { readonly code: string; readonly at: number } | undefined;
}

/** Starts the scheduler; the first look is at once. */
export function createRotationScheduler(given: RotationSchedulerOptions): RotationScheduler {
  const { current, every } = given;
  const closing = Promise.withResolvers<never>();
  closing.promise.catch(() => undefined);
  const sleep = (ms: number) => Promise.race([given.clock.sleep(ms), closing.promise]);
  const options = { ...given, clock: { now: given.clock.now, sleep } };
  const states = new Map<string, CredentialState>();
  const look = () => {
    const loaded = current();
    if (loaded.config.iam?.credential === undefined) return;
    for (const name of states.keys()) if (!loaded.config.credentials[name]) states.delete(name);
    for (const [name, { auth }] of Object.entries(loaded.config.credentials)) {
      if (!/^client_secret/.test(auth)) continue;
      const state = states.get(name) ?? newState();
      states.set(name, state);
      state.ticking ??= tick(name, state, options).finally(() => {
        state.ticking = undefined;
      });
    }
  };
  look();
  const stop = every(LOOK_MS, look);
  return {
    view: (name) => viewOf(name, states.get(name), current()),
    async close() {
      stop();
      closing.reject(new Closed());
      const ended = Promise.all([...states.values()].map(({ ticking }) => ticking));
      await Promise.race([ended, given.clock.sleep(CLOSE_MS)]);
    },
  };
}

/** A pause ended early because of `close`. */
class Closed extends Error {}

function newState(): CredentialState {
  const none = { ticking: undefined, expiries: new Map<string, number>(), journal: undefined, lastError: undefined };
  return { ...none, secrets: '', readAgainAt: 0, rotateAt: 0, failures: 0 };
}

/** Looks at one credential once. Never throws. */
async function tick(name: string, state: CredentialState, options: RotationSchedulerOptions): Promise<void> {
  try {
    await rotateWhenDue(name, state, options);
    await readExpiries(name, state, options);
  } catch (error) {
    if (error instanceof Closed) return;
    const fields = { credential: name, reason: String((error as Error).name) };
    options.log.error('unexpected error in the rotation scheduler', fields);
  }
}

async function rotateWhenDue(name: string, state: CredentialState, options: RotationSchedulerOptions): Promise<void> {
  const { current, metrics, clock, fleet } = options;
  const loaded = current();
  if (loaded.config.credentials[name]?.rotation?.every === undefined) return;
  const goesOn = state.lastError ? await isEnded(name, state, options) : fleet.isLeft(name);
  const now = clock.now();
  if (isAhead(state.rotateAt, now) && !goesOn) return;
  try {
    const onProgress = (progress: Progress) => noteProgress(name, progress, options);
    // Loaded only where secrets are rotated: a good part of the program.
    const { rotateIfDue } = await import('./credential-rotation.ts');
    const outcome = await rotateIfDue({
      ...{ loaded, credential: name, clock, onProgress, listedExpiry: listedExpiry(name, state, loaded) },
      share: fleet.share,
    });
    if (outcome?.kind === 'rotated') {
      metrics.count('rotations_total', { credential: name, result: 'ok' });
      state.readAgainAt = 0;
    }
    state.journal = await journalOf(name, options);
    const due = (outcome?.kind === 'waiting' ? outcome.until : dueOf(name, state, loaded)) ?? now;
    // One that was due by this clock alone is not: in a fleet, that of the store counts.
    state.rotateAt = Math.min(due > now ? due : now + RETRY_MS, clock.now() + REFRESH_MS);
    Object.assign(state, { failures: 0, lastError: undefined });
  } catch (error) {
    if (!(error instanceof SidecarError)) throw error;
    await failed(name, state, error, options);
  }
}

/** Whether somebody else has ended the rotation that failed here: tells it once, what fails then has pauses of its own. */
async function isEnded(name: string, state: CredentialState, options: RotationSchedulerOptions) {
  if (!state.journal?.attempt) return false;
  state.journal = await journalOf(name, options).catch(() => state.journal);
  return !state.journal?.attempt;
}

async function failed(name: string, state: CredentialState, error: SidecarError, options: RotationSchedulerOptions) {
  const { log, metrics, clock } = options;
  const { code, extras } = error;
  const now = clock.now();
  const isLocked = code === 'ROTATION_LOCKED';
  const isKept = code === 'ROTATION_NOT_RETIRED';
  if (isLocked || isKept) state.journal = await journalOf(name, options).catch(() => state.journal);
  if (isLocked) {
    log.info('somebody else is rotating this secret', { credential: name, ...extras.fields });
    state.rotateAt = now + RETRY_MS;
    return;
  }
  if (isKept) options.readAgain?.();
  // After one that was given up, the next one need not wait as long as that had failed.
  state.failures = isKept && !state.journal?.attempt ? 1 : state.failures + 1;
  state.lastError = { code, at: now };
  state.rotateAt = now + Math.min(RETRY_MS * 2 ** (state.failures - 1), REFRESH_MS);
  metrics.count('rotations_total', { credential: name, result: code });
  log.error('rotation failed, it will resume later', { credential: name, code, ...extras.fields });
}

async function journalOf(name: string, options: RotationSchedulerOptions): Promise<Journal | undefined> {
  const { storeOf } = await import('./credential-rotation.ts');
  const text = await options.fleet.share(name, storeOf(options.current(), name)).peek();
  return text === undefined ? undefined : parseJournal(text);
}

function dueOf(name: string, state: CredentialState, loaded: LoadedConfig): number | undefined {
  const { every = 0, secretLifetime = 0 } = loaded.config.credentials[name]?.rotation ?? {};
  return state.journal && dueAt(state.journal, { every, secretLifetime }, listedExpiry(name, state, loaded));
}

/**
 * Expiry of the secret that a rotation replaces. Undefined after a change of secrets: the known expiry belongs to
 * another.
 */
function listedExpiry(name: string, state: CredentialState, loaded: LoadedConfig): number | undefined {
  const [first] = loaded.secrets.get(name) ?? [];
  return first && state.secrets === identityOf(name, loaded) ? state.expiries.get(first.name) : undefined;
}

function identityOf(name: string, { secrets }: LoadedConfig): string {
  return (secrets.get(name) ?? []).map(({ value }) => value.fingerprint()).join();
}

/** No pause is longer than REFRESH_MS: a later time means that the clock was set back since. */
function isAhead(at: number, now: number): boolean {
  return now < at && at - now <= REFRESH_MS;
}

async function readExpiries(
  name: string,
  state: CredentialState,
  { current, log, clock }: RotationSchedulerOptions,
): Promise<void> {
  const loaded = current();
  const names = (loaded.secrets.get(name) ?? []).map((secret) => secret.name);
  const identity = identityOf(name, loaded);
  if (state.secrets === identity && isAhead(state.readAgainAt, clock.now())) return;
  state.secrets = identity;
  state.readAgainAt = clock.now() + REFRESH_MS;
  try {
    await using iam = connectIam(loaded);
    const clientId = loaded.config.credentials[name]?.clientId ?? '';
    const listed = await listOnce({ iam: createIamApi(iam.connection), clientId });
    const before = dueOf(name, state, loaded) ?? 0;
    state.expiries = expiries(names, listed, { journal: state.journal, nowMs: clock.now() });
    const due = dueOf(name, state, loaded) ?? 0;
    if (due < before && !state.lastError) state.rotateAt = Math.min(state.rotateAt, due);
  } catch (error) {
    if (!(error instanceof SidecarError)) throw error;
    const fields = { credential: name, code: error.code, ...error.extras.fields };
    log.warn('cannot read the expiry of secrets from Aritma IAM', fields);
  }
}

function noteProgress(credential: string, { step, fields }: Progress, options: RotationSchedulerOptions): void {
  if (step === 'promoted') options.readAgain?.();
  const { secret, code, verdict, outcome } = fields;
  options.log.info('rotation', { credential, step, secret, code, result: verdict ?? outcome });
}

function viewOf(name: string, state: CredentialState | undefined, loaded: LoadedConfig): SecretsView | undefined {
  if (!state) return undefined;
  const { expiries, journal, lastError, rotateAt } = state;
  if (loaded.config.credentials[name]?.rotation?.every === undefined) return { expiries, rotation: undefined };
  const phase = lastError ? 'failing' : journal?.attempt?.phase === 'promoted' ? 'overlap' : 'idle';
  const nextAt = lastError ? rotateAt : dueOf(name, state, loaded);
  return { expiries, rotation: { state: phase, rotatedAt: journal?.rotatedAt, nextAt, lastError } };
}
