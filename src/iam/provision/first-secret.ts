/**
 * Creates a client's first secret and writes it to its file. A crash at any point neither loses the secret nor creates
 * a second one: it is on disk before it is sent, and its description in IAM is unique.
 */
import { randomBytes } from 'node:crypto';
import { SidecarError } from '../../core/errors.ts';
import type { ClientSecret, IamApi } from '../api.ts';
import { descriptionPrefix, type Journal } from '../rotation/journal.ts';
import type { OpenStore } from '../rotation/store.ts';
import type { RotationClock } from '../rotation/verification.ts';
import type { Desired } from './desired-state.ts';
import { MEMORY } from './journal.ts';
import { poll } from './poll.ts';

export interface Making {
  readonly iam: Pick<IamApi, 'secrets' | 'createSecret' | 'deleteSecret'>;
  readonly store: OpenStore;
  readonly clock: RotationClock;
}

type First = NonNullable<Journal['provision']>;

/**
 * Creates the secret, or continues an unfinished creation. Returns the journal as it is on disk afterwards.
 * @throws SidecarError IAM_*, ROTATION_LOCKED, ROTATION_STORE_FAILED; after each of them it can be called again
 */
export async function makeFirstSecret(desired: Desired, journal: Journal, making: Making): Promise<Journal> {
  const { store } = making;
  const begun = journal.provision;
  const found = begun && (await findOnly(journal.clientId, begun, making));
  const first = begun && found ? begun : await begin(desired, journal, making);
  const made = found ?? (await create(journal.clientId, first, making));
  await putInPlace(desired.secret.file, first, store);
  const { clientSecretId, description, expiresAt } = made;
  const { provision: _done, ...rest } = journal;
  const done: Journal = {
    ...rest,
    current: { clientSecretId, description, ...(expiresAt !== undefined && { expiresAt }) },
  };
  await store.writeJournal(MEMORY.textOf(done));
  return done;
}

/**
 * Starts the full lifetime again if IAM does not have the secret yet. Keeps value and description: it may still appear.
 */
async function begin({ secret }: Desired, journal: Journal, { store, clock }: Making): Promise<First> {
  const now = clock.now();
  const stamp = `${new Date(now).toISOString()} ${randomBytes(4).toString('hex')}`;
  const { lifetimeMs } = secret;
  const first: First = {
    description: `${descriptionPrefix(journal)}${stamp} ${secret.description}`,
    value: MEMORY.newValue(),
    startedAt: now,
    ...journal.provision,
    expiresAt: lifetimeMs === undefined ? undefined : now + lifetimeMs,
  };
  await store.writeJournal(MEMORY.textOf({ ...journal, provision: first }));
  return first;
}

async function create(clientId: string, first: First, making: Making): Promise<ClientSecret> {
  const { description, expiresAt } = first;
  const value = MEMORY.valueOf(first);
  const clientSecretId = await making.iam.createSecret(clientId, { value, description, expiresAt });
  // List it even if the id is known: an earlier request that timed out may have arrived late and created a twin.
  const listed = await poll(() => findOnly(clientId, first, making), making.clock);
  if (listed) return listed;
  if (clientSecretId !== undefined) return { clientSecretId, description, expiresAt };
  throw new SidecarError('IAM_INVALID', { fields: { reason: 'created a secret, but IAM does not list it' } });
}

/**
 * Deletes twins, which only we can have made: they have the same value, so one left over would work after a rotation.
 */
async function findOnly(clientId: string, first: First, { iam }: Making): Promise<ClientSecret | undefined> {
  const same: ClientSecret[] = [];
  for await (const secret of iam.secrets(clientId)) if (secret.description === first.description) same.push(secret);
  const [keep, ...twins] = same;
  for (const { clientSecretId } of twins) await iam.deleteSecret(clientId, clientSecretId);
  return keep;
}

/** Never replaces a secret that somebody else wrote in the meantime. */
async function putInPlace(file: string, first: First, store: OpenStore): Promise<void> {
  const value = MEMORY.valueOf(first);
  const stored = await store.readSecret();
  if (stored === undefined) return store.writeSecret(value);
  if (stored.equals(value)) return;
  const message = 'was changed by somebody else while its first secret was being created';
  throw new SidecarError('IAM_CONFLICT', { problems: [{ where: file, path: '', message }] });
}
