/**
 * Applies a plan. The process may be killed in any step and the step repeated: each step is written to the journal
 * before it is tried, and its effect is looked up before it is tried again.
 */
import { SidecarError } from '../../core/errors.ts';
import type { Client, Policy } from '../api.ts';
import type { Journal } from '../rotation/journal.ts';
import type { OpenStore } from '../rotation/store.ts';
import type { RotationClock } from '../rotation/verification.ts';
import { createClient, removeTwins } from './client.ts';
import type { Desired } from './desired-state.ts';
import { makeFirstSecret } from './first-secret.ts';
import { MEMORY, type Memory } from './journal.ts';
import { type Looking, policiesOf } from './observed-state.ts';
import { type Actual, clientBody, type Step } from './plan.ts';
import { poll } from './poll.ts';
import { findSubject } from './subject.ts';

export interface Applying extends Looking {
  readonly store: OpenStore;
  readonly clock: RotationClock;
  /** Called after each completed step. */
  readonly onDone: (step: Step) => void;
}

export interface Planned {
  readonly plan: readonly Step[];
  readonly actual: Actual;
  readonly memory: Memory;
}

/**
 * Applies every `create` and `update` of the plan and returns the client's id.
 * @throws SidecarError IAM_*, ROTATION_LOCKED, ROTATION_STORE_FAILED; after each of them provisioning can run again
 */
export async function applyProvision(desired: Desired, planned: Planned, applying: Applying): Promise<string> {
  const { plan, actual, memory } = planned;
  const { iam, store, onDone } = applying;
  const client = actual.client ?? (await createClient(desired, memory.creating, applying));
  if (memory.creating) await removeTwins(iam, client, memory.creating);
  let journal = memory.journal ?? (await beginJournal(client, memory, applying));
  for (const step of plan) {
    if (step.what === 'client' && step.change !== 'none') {
      // A new client too: this removes the mark from its description.
      await iam.updateClient(client.clientId, clientBody(desired, client));
      onDone(step);
    }
    if (step.what === 'secret' && step.change === 'create') {
      journal = await makeFirstSecret(desired, journal, { iam, store, clock: applying.clock });
      onDone(step);
    }
  }
  await grant({ ...planned, actual: { ...actual, client } }, applying);
  return client.clientId;
}

async function beginJournal(client: Client, { creating }: Memory, { store, clock }: Applying): Promise<Journal> {
  const journal = MEMORY.begun(client.clientId, clock.now(), creating);
  await store.writeJournal(MEMORY.textOf(journal));
  return journal;
}

async function grant({ plan, actual }: Planned, applying: Applying): Promise<void> {
  const { iam, clock, onDone } = applying;
  const { client } = actual;
  const missing = plan.filter(({ what, change }) => what === 'policy' && change === 'create');
  if (missing.length === 0 || !client) return;
  const subject = actual.subjectId ?? (await poll(() => findSubject(iam, client), clock));
  if (subject === undefined) {
    const reason = 'IAM does not list the client as a subject';
    throw new SidecarError('IAM_INVALID', { fields: { reason, clientId: client.clientId } });
  }
  // The plan was made without a subject, so its policies are not known yet.
  const there = actual.subjectId === undefined ? await policiesOf(iam, subject) : [];
  for (const step of missing) {
    const { policy } = step;
    if (policy && !there.some(isSame(policy))) await createPolicy({ subject, ...policy }, applying);
    onDone(step);
  }
}

/** Accepts a conflict only if the list then shows the policy. */
async function createPolicy(policy: Policy, { iam }: Applying): Promise<void> {
  try {
    await iam.createPolicy(policy);
  } catch (error) {
    const exists = error instanceof SidecarError && error.code === 'IAM_CONFLICT';
    if (!exists || !(await policiesOf(iam, policy.subject)).some(isSame(policy))) throw error;
  }
}

function isSame({ scope, action }: Pick<Policy, 'scope' | 'action'>): (other: Policy) => boolean {
  return (other) => other.scope === scope && other.action === action;
}
