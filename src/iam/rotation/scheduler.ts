/**
 * Looks after the client secrets of a running sidecar: rotates them when they are due, and asks Aritma IAM when they expire.
 * Never in the way of a request: everything happens behind, and what fails is said, counted and tried again later.
 */
import type { LoadedConfig } from '../../config/load.ts';
import { SidecarError } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import type { Metrics } from '../../core/metrics.ts';
import { createIamApi } from '../api.ts';
import { connectIam } from '../connection.ts';
import { rotateIfDue, storeOf } from './credential-rotation.ts';
import { type Journal, parseJournal } from './journal.ts';
import type { Progress } from './rotate.ts';
import { dueAt } from './schedule.ts';
import { expiries } from './secret-expiry.ts';
import type { RotationClock } from './verification.ts';

export interface SecretCareOptions {
  readonly current: () => LoadedConfig;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly clock: RotationClock;
  /** Calls `run` about every so often until what it returns is called. */
  readonly every: (ms: number, run: () => void) => () => void;
}

export interface SecretCare {
  /** What is known of a credential's secrets. */
  view(credential: string): CareView | undefined;
  /** Begins nothing any more. What is under way stops at its next pause, and goes on from there at the next start. */
  close(): Promise<void>;
}

export interface CareView {
  /** Epoch ms by name of the secret. */
  readonly expiries: ReadonlyMap<string, number>;
  readonly rotation: RotationView | undefined;
}

/** Epoch ms. */
export interface RotationView {
  readonly state: 'idle' | 'overlap' | 'failing';
  readonly rotatedAt: number | undefined;
  readonly nextAt: number | undefined;
  readonly lastError: { readonly code: string; readonly at: number } | undefined;
}

const LOOK_MS = 10_000;
/** IAM and the journal are asked again at least this often: others may have changed what they say. */
const REFRESH_MS = 3_600_000;
const FIRST_RETRY_MS = 60_000;
const LOCKED_RETRY_MS = 60_000;
/** A request to IAM that is under way gets this long; its effect is found out at the next start. */
const CLOSE_MS = 2000;

interface Patient {
  attended: Promise<void> | undefined;
  expiries: ReadonlyMap<string, number>;
  /** What the expiries were read for: other secrets want another look. */
  secrets: string;
  readAgainAt: number;
  rotateAt: number;
  failures: number;
  journal: Journal | undefined;
  lastError: { readonly code: string; readonly at: number } | undefined;
}

/** Begins with a look at once. */
export function createSecretCare(given: SecretCareOptions): SecretCare {
  const { current, every } = given;
  const closing = Promise.withResolvers<never>();
  closing.promise.catch(() => undefined);
  const sleep = (ms: number) => Promise.race([given.clock.sleep(ms), closing.promise]);
  const options = { ...given, clock: { now: given.clock.now, sleep } };
  const patients = new Map<string, Patient>();
  const look = () => {
    const loaded = current();
    if (loaded.config.iam?.credential === undefined) return;
    for (const name of patients.keys()) if (!loaded.config.credentials[name]) patients.delete(name);
    for (const [name, { auth }] of Object.entries(loaded.config.credentials)) {
      if (auth === 'private_key_jwt') continue;
      const patient = patients.get(name) ?? newPatient();
      patients.set(name, patient);
      patient.attended ??= attend(name, patient, options).finally(() => {
        patient.attended = undefined;
      });
    }
  };
  look();
  const stop = every(LOOK_MS, look);
  return {
    view: (name) => viewOf(name, patients.get(name), current()),
    async close() {
      stop();
      closing.reject(new Closed());
      await Promise.race([
        Promise.all([...patients.values()].map(({ attended }) => attended)),
        given.clock.sleep(CLOSE_MS),
      ]);
    },
  };
}

/** Why a pause ended early. */
class Closed extends Error {}

function newPatient(): Patient {
  const none = { attended: undefined, expiries: new Map<string, number>(), journal: undefined, lastError: undefined };
  return { ...none, secrets: '', readAgainAt: 0, rotateAt: 0, failures: 0 };
}

/** One look at one credential. Never throws. */
async function attend(name: string, patient: Patient, options: SecretCareOptions): Promise<void> {
  try {
    await rotateWhenDue(name, patient, options);
    await readExpiries(name, patient, options);
  } catch (error) {
    if (error instanceof Closed) return;
    options.log.error('unexpected error in the care for secrets', {
      credential: name,
      reason: String((error as Error).name),
    });
  }
}

async function rotateWhenDue(name: string, patient: Patient, options: SecretCareOptions): Promise<void> {
  const { current, log, metrics, clock } = options;
  const loaded = current();
  if (loaded.config.credentials[name]?.rotation?.every === undefined || isAhead(patient.rotateAt, clock.now())) return;
  try {
    const onProgress = (progress: Progress) => logProgress(name, progress, log);
    const outcome = await rotateIfDue({
      ...{ loaded, credential: name, clock, onProgress, listedExpiry: listedExpiry(name, patient, loaded) },
    });
    if (outcome?.kind === 'rotated') {
      metrics.count('rotations_total', { credential: name, result: 'ok' });
      patient.readAgainAt = 0;
    }
    patient.journal = await journalOf(loaded, name);
    patient.rotateAt = nextLook(name, patient, { loaded, now: clock.now() });
    patient.failures = 0;
    patient.lastError = undefined;
  } catch (error) {
    if (!(error instanceof SidecarError)) throw error;
    const now = clock.now();
    if (error.code === 'ROTATION_LOCKED') {
      log.info('somebody else is rotating this secret', { credential: name, ...error.extras.fields });
      patient.rotateAt = now + LOCKED_RETRY_MS;
      patient.journal = await journalOf(loaded, name).catch(() => patient.journal);
      return;
    }
    patient.failures += 1;
    patient.lastError = { code: error.code, at: now };
    patient.rotateAt = now + Math.min(FIRST_RETRY_MS * 2 ** (patient.failures - 1), REFRESH_MS);
    metrics.count('rotations_total', { credential: name, result: error.code });
    log.error('rotation stopped, it is resumed later', { credential: name, code: error.code, ...error.extras.fields });
  }
}

async function journalOf(loaded: LoadedConfig, name: string): Promise<Journal | undefined> {
  const text = await storeOf(loaded, name).peek();
  return text === undefined ? undefined : parseJournal(text);
}

interface Moment {
  readonly loaded: LoadedConfig;
  readonly now: number;
}

function nextLook(name: string, patient: Patient, { loaded, now }: Moment): number {
  return Math.min(dueOf(name, patient, loaded) ?? now, now + REFRESH_MS);
}

function dueOf(name: string, patient: Patient, loaded: LoadedConfig): number | undefined {
  const { every = 0, secretLifetime = 0 } = loaded.config.credentials[name]?.rotation ?? {};
  return patient.journal && dueAt(patient.journal, { every, secretLifetime }, listedExpiry(name, patient, loaded));
}

/** Of the secret that a rotation replaces; what IAM said before somebody changed it is of another one. */
function listedExpiry(name: string, patient: Patient, loaded: LoadedConfig): number | undefined {
  const [first] = loaded.secrets.get(name) ?? [];
  return first && patient.secrets === identityOf(name, loaded) ? patient.expiries.get(first.name) : undefined;
}

function identityOf(name: string, { secrets }: LoadedConfig): string {
  return (secrets.get(name) ?? []).map(({ value }) => value.fingerprint()).join();
}

/** No pause is longer than this, so a later end of one comes from a clock that has been set back since. */
function isAhead(at: number, now: number): boolean {
  return now < at && at - now <= REFRESH_MS;
}

async function readExpiries(name: string, patient: Patient, { current, log, clock }: SecretCareOptions): Promise<void> {
  const loaded = current();
  const secrets = loaded.secrets.get(name) ?? [];
  const identity = identityOf(name, loaded);
  if (patient.secrets === identity && isAhead(patient.readAgainAt, clock.now())) return;
  patient.secrets = identity;
  patient.readAgainAt = clock.now() + REFRESH_MS;
  try {
    await using iam = connectIam(loaded);
    const listed = [];
    const clientId = loaded.config.credentials[name]?.clientId ?? '';
    for await (const secret of createIamApi(iam.connection).secrets(clientId)) listed.push(secret);
    const names = secrets.map((secret) => secret.name);
    const before = dueOf(name, patient, loaded) ?? 0;
    patient.expiries = expiries(names, listed, { journal: patient.journal, nowMs: clock.now() });
    const due = dueOf(name, patient, loaded) ?? 0;
    if (due < before && !patient.lastError) patient.rotateAt = Math.min(patient.rotateAt, due);
  } catch (error) {
    if (!(error instanceof SidecarError)) throw error;
    log.warn('Aritma IAM does not tell when secrets expire', {
      credential: name,
      code: error.code,
      ...error.extras.fields,
    });
  }
}

function logProgress(credential: string, { step, fields }: Progress, log: Log): void {
  const { secret, code, verdict, outcome } = fields;
  log.info('rotation', { credential, step, secret, code, result: verdict ?? outcome });
}

function viewOf(name: string, patient: Patient | undefined, loaded: LoadedConfig): CareView | undefined {
  if (!patient) return undefined;
  const { journal, lastError, rotateAt } = patient;
  if (loaded.config.credentials[name]?.rotation?.every === undefined) {
    return { expiries: patient.expiries, rotation: undefined };
  }
  const state = lastError ? 'failing' : journal?.attempt?.phase === 'promoted' ? 'overlap' : 'idle';
  const nextAt = lastError ? rotateAt : dueOf(name, patient, loaded);
  const view = { state, rotatedAt: journal?.rotatedAt, nextAt, lastError } as const;
  return { expiries: patient.expiries, rotation: view };
}
