// The Role in the deployed file allows what the store does, and nothing else.
import { describe, expect, it } from 'vitest';
import { Secret } from '../../src/core/secret.ts';
import { describeWithOpenssl, makeCertificates } from '../support/certificates.ts';
import { deployedRules, readManifests, startKubernetesWorld } from '../support/kubernetes-world.ts';

const manifest = (kind: string) => {
  const found = readManifests().filter((one) => one.kind === kind);
  if (found.length !== 1 || !found[0]) throw new Error(`${found.length} of ${kind}`);
  return found[0];
};

describe('deploy/kubernetes/rotation/rbac.yaml', () => {
  it('has an account, a Role, what binds them and the Secret, all in one namespace', () => {
    const kinds = readManifests().map(({ kind }) => kind);
    expect(kinds.sort()).toEqual(['Role', 'RoleBinding', 'Secret', 'ServiceAccount']);
    const namespaces = readManifests().map(({ metadata }) => metadata.namespace);
    expect(new Set(namespaces).size).toBe(1);
    const { name, namespace } = manifest('ServiceAccount').metadata;
    expect(manifest('RoleBinding')['subjects']).toEqual([{ kind: 'ServiceAccount', name, namespace }]);
    expect(manifest('RoleBinding')['roleRef']).toEqual({
      apiGroup: 'rbac.authorization.k8s.io',
      kind: 'Role',
      name: manifest('Role').metadata.name,
    });
  });

  it('names one Secret, whose value it leaves alone when it is applied again, and which can be changed', () => {
    const { metadata, immutable, stringData, data } = manifest('Secret');
    expect(deployedRules().map(({ resourceNames }) => resourceNames)).toEqual([[metadata.name]]);
    expect([immutable, stringData, data]).toEqual([undefined, undefined, undefined]);
  });
});

describeWithOpenssl('the Role', () => {
  const certificates = makeCertificates((authority) => ({ server: authority.issue('api', 'IP:127.0.0.1') }));

  async function useStore(world: Awaited<ReturnType<typeof startKubernetesWorld>>): Promise<void> {
    await world.store().peek();
    const store = await world.store().open();
    await store.readSecret();
    await store.writeJournal('{}');
    await store.writeSecret(new Secret('another-secret'));
    await store.readJournal();
    const asked = world.api.calls.length;
    await world.pass(15_000);
    // The renewal, whole: one that meets the closing would be told of a conflict, and rightly so.
    await expect.poll(() => world.clock.timers).toBe(1);
    expect(world.api.calls.length).toBeGreaterThan(asked);
    await store.close();
  }

  it('allows exactly the verbs that are used', async () => {
    await using world = await startKubernetesWorld(certificates());
    await useStore(world);
    const allowed = deployedRules().flatMap(({ verbs }) => verbs);
    expect([...world.api.verbs()].sort()).toEqual([...allowed].sort());
    expect(world.api.calls.filter(({ status }) => status !== 200)).toEqual([]);
  });

  it.each(deployedRules().flatMap(({ verbs }) => verbs))('without %s is not enough', async (missing) => {
    await using world = await startKubernetesWorld(certificates());
    const less = deployedRules().map((rule) => ({ ...rule, verbs: rule.verbs.filter((verb) => verb !== missing) }));
    world.api.rules.splice(0, 1, ...less);
    await expect(useStore(world)).rejects.toThrow('ROTATION_STORE_FAILED');
  });
});
