/** What docs/iam.md promises of `iam provision`: run again after any interruption, it makes what the file says, once. */
import { NAMESAKE, PROVISIONED } from '../world/iam/iam.ts';
import type { World } from '../world/world.ts';
import type { Invariant } from './invariants.ts';

export const provisionsOnce: Invariant = {
  sentence:
    'When a last run has ended well, there is one client of that name, without our mark, with one secret, which the file holds, and each policy once; the client of somebody else is as it was.',
  watch: (world, violated) => (observation) => {
    if (observation.kind !== 'provisionedLast') return;
    if (!observation.isDone) return violated('the last run has failed');
    const problem = problemOf(world);
    if (problem) violated(problem);
  },
};

function problemOf({ iam, platform }: World): string | undefined {
  if (!iam) return undefined;
  const { clients, policies } = iam.server.registry;
  if (!clients.includes(NAMESAKE)) return `${NAMESAKE.clientId} is not as it was`;
  const [only, ...others] = clients.filter(({ name }) => name === PROVISIONED.name);
  if (!only || others.length > 0) return `${others.length + (only ? 1 : 0)} clients`;
  if (only.description !== PROVISIONED.description) return `its description is ${only.description}`;
  const [secret, ...more] = iam.server.secretsOf(only.clientId);
  if (!secret || more.length > 0) return `${more.length + (secret ? 1 : 0)} secrets`;
  if (!platform.disk.has(PROVISIONED.file)) return 'there is no file';
  const stored = platform.disk.find(PROVISIONED.file).content.toString().trimEnd();
  if (stored !== secret.value) return `the file has ${stored}`;
  const count = policies.filter(({ subject }) => subject === `client-${only.clientId}`).length;
  return count === PROVISIONED.policies.length ? undefined : `${count} policies`;
}
