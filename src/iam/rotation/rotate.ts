/**
 * Replaces a client secret without a gap: create the new one, verify it, store it, wait until everybody uses it, delete
 * the old one. The process may be killed between two steps or within one. The next call continues where the journal
 * says, and each step first checks whether it has already happened. Source: seed "OIDC Clients", secret rotation.
 */
import { randomBytes } from 'node:crypto';
import { SidecarError } from '../../core/errors.ts';
import { randomSecret } from '../../core/secret.ts';
import type { ClientSecret } from '../api.ts';
import { keep, newValue, type RotationOptions, sharedNow, type Waiting, type WithAttempt } from './attempt.ts';
import { list, listOnce, remove } from './client-secrets.ts';
import { isLive, refuseSecond, takeInventory } from './inventory.ts';
import { type Attempt, beginJournal, descriptionPrefix, type Journal, parseJournal } from './journal.ts';
import { retire } from './retire.ts';
import { retry } from './retry.ts';
import { type Verdict, verify } from './verification.ts';

/** `expiresAt` in epoch ms, Infinity = never. */
export type Outcome = { readonly kind: 'rotated'; readonly expiresAt: number } | Waiting;

/**
 * Begins a rotation or continues the unfinished one. For a whole example see `rotateCredential`.
 * @throws SidecarError ROTATION_NOT_VERIFIED, ROTATION_NOT_RETIRED, ROTATION_TOO_MANY_SECRETS, ROTATION_LOCKED,
 * ROTATION_STORE_FAILED, ROTATION_JOURNAL_INVALID, IAM_*, TOKEN_UNAVAILABLE; after each of them it can be called again
 */
export async function rotate(options: RotationOptions): Promise<Outcome> {
  const before = await readJournal(options);
  // Somebody else has ended it meanwhile.
  const isOver = options.after !== undefined && !before.attempt;
  if (isOver && !hasRotatedSince(before, options.after)) throw givenUp();
  let journal: Journal = isOver ? before : await resume(before, options);
  for (;;) {
    const { attempt, rotatedAt } = journal;
    if (!attempt) return { kind: 'rotated', expiresAt: journal.current?.expiresAt ?? Infinity };
    const leftMs = attempt.phase === 'promoted' ? (attempt.retireAt ?? 0) - (await sharedNow(options)) : 0;
    if (leftMs > 0) return { kind: 'waiting', until: options.clock.now() + leftMs, rotatedAt };
    journal = await STEPS[attempt.phase]({ ...journal, attempt }, options);
  }
}

/** By value: in a fleet, others have noted it by their clocks. */
function hasRotatedSince({ rotatedAt }: Journal, after: Waiting | undefined): boolean {
  return rotatedAt !== undefined && rotatedAt !== after?.rotatedAt;
}

function givenUp(): SidecarError {
  const reason = 'the journal no longer has this rotation: another process has given it up, or the journal was removed';
  return new SidecarError('ROTATION_NOT_RETIRED', { fields: { reason } });
}

type Step = (journal: WithAttempt, options: RotationOptions) => Promise<Journal>;

const STEPS: Readonly<Record<Attempt['phase'], Step>> = {
  creating: create,
  created: prove,
  verified: promote,
  promoted: retire,
  abandoned: abandon,
};

async function readJournal({ store, clientId, clock }: RotationOptions): Promise<Journal> {
  const text = await store.readJournal();
  const journal = text === undefined ? undefined : parseJournal(text);
  if (journal?.clientId === clientId) return journal;
  // A journal of another client may be replaced, but not if something unfinished is in it.
  if (journal?.attempt || journal?.provision) {
    throw new SidecarError('ROTATION_JOURNAL_INVALID', { fields: { clientId: journal.clientId } });
  }
  return beginJournal(clientId, clock.now());
}

/** An attempt of which nothing is made takes the inventory again: people may have made or deleted secrets since. */
async function resume(journal: Journal, options: RotationOptions): Promise<Journal> {
  const { attempt } = journal;
  const hasMade = attempt && attempt.phase !== 'creating';
  return hasMade ? reconsider({ ...journal, attempt }, options) : begin(journal, attempt, options);
}

/** @param before has the same description and value: its creation may have been executed, and not be listed yet */
async function begin(journal: Journal, before: Attempt | undefined, options: RotationOptions): Promise<Journal> {
  const { store, trySecret, policy, clock } = options;
  const inUse = await store.readSecret();
  if (!before) await store.mayBegin?.(inUse);
  const verdict: Verdict = inUse ? await trySecret(inUse) : 'refused';
  if (verdict === 'unavailable') throw new SidecarError('TOKEN_UNAVAILABLE');
  const secrets = await list(options);
  const nowMs = clock.now();
  const others = secrets.filter(({ description }) => description !== before?.description);
  const { strays, retire } = takeInventory(others, { journal, nowMs, inUseWorks: verdict === 'accepted' });
  const stamp = `${new Date(nowMs).toISOString()} ${randomBytes(4).toString('hex')}`;
  const attempt: Attempt = {
    phase: 'creating',
    description: before?.description ?? descriptionPrefix(journal) + stamp,
    value: before?.value ?? randomSecret().reveal(),
    expiresAt: nowMs + policy.secretLifetime,
    startedAt: nowMs,
    strays: [...strays],
    retire: [...retire],
  };
  if (!before) options.onProgress?.({ step: 'started', fields: { inUse: verdict, replaces: retire.length } });
  return keep({ ...journal, attempt }, options);
}

/** Verifies again a secret that an earlier run verified but did not store: it may have been deleted since. */
async function reconsider(journal: WithAttempt, options: RotationOptions): Promise<WithAttempt> {
  const { store, clientId } = options;
  const { attempt } = journal;
  if (attempt.phase !== 'verified') return journal;
  const isStored = (await store.readSecret())?.fingerprint() === newValue(attempt).fingerprint();
  if (isStored) return journal;
  // Another sidecar may have stored it and stopped there: then it must not be deleted because this one is refused with it.
  const isElsewhere =
    store.lacking && (await list(options)).some(({ description }) => description === attempt.description);
  if (!isElsewhere) return { ...journal, attempt: { ...attempt, phase: 'created' } };
  if (await proves(attempt, options)) return journal;
  throw new SidecarError('ROTATION_NOT_VERIFIED', { fields: { clientId } });
}

async function create(journal: WithAttempt, options: RotationOptions): Promise<Journal> {
  const { iam, clientId, clock } = options;
  const { attempt } = journal;
  const { description, expiresAt, strays = [] } = attempt;
  // Not before the journal is written: this process may have slept, and another one begun an attempt.
  await remove(strays, 'cleaned', options);
  const isOurs = (secret: ClientSecret) => secret.description === description;
  let created = false;
  const clientSecretId = await retry(options, async () => {
    const secrets = await listOnce(options);
    // An earlier try may have succeeded although its response was lost.
    const [found, ...twins] = secrets.filter(isOurs);
    for (const twin of twins) await iam.deleteSecret(clientId, twin.clientSecretId);
    if (found) return found.clientSecretId;
    // Somebody may have made one since the inventory.
    refuseSecond(
      secrets.filter((secret) => isLive(secret, clock.now())),
      clientId,
    );
    // The list may lag: do not create another one.
    const id = created
      ? undefined
      : await iam.createSecret(clientId, { value: newValue(attempt), description, expiresAt });
    created = true;
    const made = id === undefined ? (await listOnce(options)).find(isOurs) : undefined;
    const known = id ?? made?.clientSecretId;
    if (known === undefined)
      throw new SidecarError('IAM_INVALID', { fields: { reason: 'created, but IAM does not list it' } });
    return known;
  });
  return keep({ ...journal, attempt: { ...attempt, phase: 'created', clientSecretId } }, options);
}

async function prove(journal: WithAttempt, options: RotationOptions): Promise<Journal> {
  const works = await proves(journal.attempt, options);
  return keep({ ...journal, attempt: { ...journal.attempt, phase: works ? 'verified' : 'abandoned' } }, options);
}

function proves(attempt: Attempt, { trySecret, policy, clock, onProgress }: RotationOptions): Promise<boolean> {
  return verify(newValue(attempt), {
    trySecret,
    clock,
    forMs: policy.verifyFor,
    onRefusal: (verdict, remainingMs) =>
      onProgress?.({ step: 'refused', fields: { verdict, remainingS: Math.round(remainingMs / 1000) } }),
  });
}

async function promote(journal: WithAttempt, options: RotationOptions): Promise<Journal> {
  const { attempt } = journal;
  const { clientSecretId, description, expiresAt } = attempt;
  await options.store.writeSecret(newValue(attempt));
  const retireAt = (await sharedNow(options)) + options.policy.overlap;
  const current = { clientSecretId: clientSecretId ?? '', description, expiresAt };
  return keep({ ...journal, current, attempt: { ...attempt, phase: 'promoted', retireAt } }, options);
}

/** Deletes the new secret, unless it is the last one. Only called for one that was never in the store. */
async function abandon(journal: WithAttempt, options: RotationOptions): Promise<Journal> {
  const { attempt, ...rest } = journal;
  const nowMs = options.clock.now();
  const secrets = await list(options);
  const made = secrets.filter(({ description }) => description === attempt.description);
  const isLast = !secrets.some((it) => !made.includes(it) && isLive(it, nowMs));
  if (made.length > 0 && isLast) {
    // Somebody has deleted the other one: the next run proves this one again.
    await keep({ ...rest, attempt: { ...attempt, phase: 'created' } }, options);
  } else {
    await remove(
      made.map(({ clientSecretId }) => clientSecretId),
      'cleaned',
      options,
    );
    await keep(rest, options);
  }
  throw new SidecarError('ROTATION_NOT_VERIFIED', { fields: { clientId: options.clientId } });
}
