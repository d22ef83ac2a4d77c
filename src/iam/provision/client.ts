/**
 * Finds the client by its name, or creates it so that there is never a second one of ours. Until that is certain, its
 * description ends with a unique mark: a client that a timed-out request created late is recognized as ours.
 */
import { SidecarError } from '../../core/errors.ts';
import type { Client, IamApi } from '../api.ts';
import type { OpenStore } from '../rotation/store.ts';
import type { RotationClock } from '../rotation/verification.ts';
import type { Desired } from './desired-state.ts';
import { type Creating, MEMORY } from './journal.ts';
import { clientBody } from './plan.ts';
import { all, conflict, poll } from './poll.ts';

export interface Creation {
  readonly iam: IamApi;
  readonly store: OpenStore;
  readonly clock: RotationClock;
}

/**
 * Returns the client of exactly this name, with its details; if one was being created, the one with its mark.
 * @throws SidecarError IAM_CONFLICT when several have the name and none the mark
 */
export async function clientNamed(iam: IamApi, name: string, creating?: Creating): Promise<Client | undefined> {
  // The search also matches parts of names, and other fields.
  const found = (await all(iam.clients(name))).filter((client) => client.name === name);
  const [only, another] = found;
  const ours = creating && found.find((client) => isMarked(client, creating));
  if (another && !ours) {
    const ids = found.slice(0, 10).map(({ clientId }) => clientId);
    throw conflict(
      'Aritma IAM',
      `has ${found.length} clients with this name; set client.id to the right one: ${ids.join(', ')}`,
    );
  }
  const chosen = ours ?? only;
  return chosen && iam.client(chosen.clientId);
}

/**
 * Creates the client, or finds the one an earlier run began. Its description still has the mark.
 * @throws SidecarError IAM_INVALID when IAM does not list it within 30 s; other IAM_*
 */
export async function createClient(desired: Desired, begun: Creating | undefined, creation: Creation): Promise<Client> {
  const { iam, store, clock } = creation;
  const { name } = desired.client;
  // An earlier request may have succeeded, and the list may lag.
  const late = begun && (await poll(() => clientNamed(iam, begun.creating.name, begun), clock));
  if (late) return late;
  const intent = { ...(begun ?? MEMORY.creating(name, clock.now())), creating: { name } };
  await store.writeJournal(MEMORY.textOf(intent));
  const body = clientBody(desired);
  const id = await iam.createClient({ ...body, description: body.description + markOf(intent) });
  const client = id === undefined ? await poll(() => clientNamed(iam, name, intent), clock) : await iam.client(id);
  if (client?.name === name) return client;
  throw new SidecarError('IAM_INVALID', { fields: { reason: 'created a client, but IAM does not list it' } });
}

/**
 * Deletes other clients with our mark: timed-out requests of ours created them. Nobody else knows them, but one with a
 * secret is kept all the same.
 */
export async function removeTwins(iam: IamApi, { clientId, name }: Client, creating: Creating): Promise<void> {
  for (const twin of await all(iam.clients(name))) {
    if (twin.clientId === clientId || !isMarked(twin, creating)) continue;
    if ((await all(iam.secrets(twin.clientId))).length === 0) await iam.deleteClient(twin.clientId);
  }
}

const markOf = ({ id }: Creating) => ` [aritma-sidecar ${id}]`;
const isMarked = ({ description }: Client, creating: Creating) => description?.endsWith(markOf(creating)) === true;
