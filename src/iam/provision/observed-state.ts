/**
 * Reads the current state before planning: IAM, the secret's file and the journal next to it. Changes nothing. Refuses
 * a state for which a plan would be a guess, and tells the user what to do.
 */
import { SidecarError } from '../../core/errors.ts';
import type { Secret } from '../../core/secret.ts';
import type { Client, ClientSecret, IamApi } from '../api.ts';
import type { Journal } from '../rotation/journal.ts';
import type { RotationClock, Verdict } from '../rotation/verification.ts';
import { clientNamed } from './client.ts';
import type { Desired } from './desired-state.ts';
import { MEMORY, type Memory } from './journal.ts';
import type { Actual, SecretState } from './plan.ts';
import { all, conflict } from './poll.ts';
import { findSubject } from './subject.ts';

export interface Place {
  readonly memory: Memory;
  /** The secret in the file; undefined = none. */
  readonly stored: Secret | undefined;
}

export interface Looking {
  readonly iam: IamApi;
  /** Requests a real token for this client with only this secret. */
  readonly verify: (clientId: string, secret: Secret) => Promise<Verdict>;
  readonly clock: Pick<RotationClock, 'now'>;
}

/**
 * Returns the current state.
 * @throws SidecarError IAM_CONFLICT with what to do; other IAM_*; TOKEN_UNAVAILABLE when the stored secret cannot be
 * tested
 */
export async function lookAround(desired: Desired, place: Place, looking: Looking): Promise<Actual> {
  const client = await findClient(desired, place.memory, looking);
  const nowMs = looking.clock.now();
  if (!client) {
    if (place.stored) throw conflict(desired.secret.file, STORED_FOR_NOBODY);
    const kind = 'missing';
    return { client, secrets: [], subjectId: undefined, policies: [], secret: { kind }, nowMs };
  }
  const secrets = await all(looking.iam.secrets(client.clientId));
  const secret = await stateOf({ desired, place, secrets, clientId: client.clientId }, looking);
  const subjectId = await findSubject(looking.iam, client);
  const policies = subjectId === undefined ? [] : await policiesOf(looking.iam, subjectId);
  return { client, secrets, subjectId, policies, secret, nowMs };
}

/** Lists the subject's policies. Filters again, because a server that ignores the filter sends everybody's. */
export async function policiesOf(iam: IamApi, subject: string) {
  const listed = await all(iam.policies({ subject }));
  return listed.filter((policy) => policy.subject === subject);
}

async function findClient({ client, secret }: Desired, memory: Memory, { iam }: Looking): Promise<Client | undefined> {
  const remembered = memory.journal?.clientId;
  if (remembered === undefined) {
    if (client.id !== undefined) return iam.client(client.id);
    // An unfinished creation has the name that the file had then.
    const begun = memory.creating && (await clientNamed(iam, memory.creating.creating.name, memory.creating));
    return begun ?? clientNamed(iam, client.name);
  }
  if (client.id !== undefined && client.id !== remembered) {
    throw conflict(
      secret.file,
      `belongs to client ${remembered} according to the journal next to it, but client.id is another`,
    );
  }
  try {
    return await iam.client(remembered);
  } catch (error) {
    if (!(error instanceof SidecarError) || error.code !== 'IAM_NOT_FOUND') throw error;
    throw conflict(secret.file, `belongs to client ${remembered}, which IAM no longer has; ${MOVE_AWAY}`);
  }
}

interface Situation {
  readonly desired: Desired;
  readonly place: Place;
  readonly secrets: readonly ClientSecret[];
  readonly clientId: string;
}

async function stateOf(situation: Situation, looking: Looking): Promise<SecretState> {
  const { desired, place, secrets, clientId } = situation;
  const { stored } = place;
  const { file } = desired.secret;
  const journal = place.memory.journal;
  const unfinished = journal?.provision;
  if (unfinished && (!stored || stored.equals(MEMORY.valueOf(unfinished)))) {
    return { kind: 'unfinished', known: secrets.find(({ description }) => description === unfinished.description) };
  }
  if (unfinished) throw conflict(file, 'was changed by somebody else while its first secret was being created');
  const known = knownSecret(journal, secrets);
  if (!stored) {
    if (journal?.attempt)
      throw conflict(file, 'has no secret, but a rotation is under way; run `aritma-sidecar rotate` first');
    return { kind: 'missing' };
  }
  const verdict = await looking.verify(clientId, stored);
  if (verdict === 'accepted') return { kind: 'working', known };
  if (known && (verdict === 'unavailable' || (known.expiresAt ?? Infinity) <= looking.clock.now())) {
    return { kind: 'unproven', known };
  }
  if (verdict === 'unavailable') throw new SidecarError('TOKEN_UNAVAILABLE', { fields: { file } });
  throw conflict(
    file,
    known ? REFUSED_BUT_OURS : `has a secret that gets no token for client ${clientId}; ${MOVE_AWAY}`,
  );
}

function knownSecret(journal: Journal | undefined, secrets: readonly ClientSecret[]): ClientSecret | undefined {
  return secrets.find(({ clientSecretId }) => clientSecretId === journal?.current?.clientSecretId);
}

const MOVE_AWAY =
  'nothing was changed. If nobody needs this file, move it and its .rotation file away and run this again';
const STORED_FOR_NOBODY = `already has a secret, but the client does not exist yet; ${MOVE_AWAY}`;
const REFUSED_BUT_OURS =
  'has a secret that is refused although IAM lists it: the file was changed, or the server does not know the secret yet. Wait 15 minutes and run this again; if that fails, restore the file or move it away';
