// A whole rotation with its state in a Kubernetes Secret, cut off at every request to the API server and taken up by another pod.
import { describe, expect, it } from 'vitest';
import type { ClientSecret } from '../../src/iam/api.ts';
import type { RotationOptions } from '../../src/iam/rotation/attempt.ts';
import { rotate } from '../../src/iam/rotation/rotate.ts';
import { describeWithOpenssl, makeCertificates } from '../support/certificates.ts';
import { type KubernetesWorld, OLD, startKubernetesWorld } from '../support/kubernetes-world.ts';

const HOUR_MS = 3_600_000;

/** Aritma IAM as far as a rotation needs it. */
function createIam() {
  const live = new Map<string, ClientSecret & { readonly value: string }>();
  let lastId = 0;
  const add = (value: string, description: string, expiresAt?: number) => {
    const clientSecretId = `id-${++lastId}`;
    live.set(clientSecretId, { clientSecretId, value, description, expiresAt });
    return clientSecretId;
  };
  add(OLD, 'made by hand');
  const api: RotationOptions['iam'] = {
    async *secrets() {
      yield* [...live.values()];
    },
    createSecret: async (_clientId, { value, description, expiresAt }) => add(value.reveal(), description, expiresAt),
    deleteSecret: async (_clientId, id) => (live.delete(id) ? 'deleted' : 'absent'),
  };
  const values = () => [...live.values()].map(({ value }) => value);
  return { api, values, created: () => lastId - 1 };
}

type Iam = ReturnType<typeof createIam>;

async function rotateFrom(pod: string, world: KubernetesWorld, iam: Iam): Promise<string> {
  const store = await world.store(pod).open();
  let nowMs = world.clock.now();
  try {
    const options = {
      clientId: 'erp',
      store,
      iam: iam.api,
      trySecret: async (secret) => (iam.values().includes(secret.reveal()) ? 'accepted' : 'refused'),
      policy: { secretLifetime: 1000 * HOUR_MS, overlap: HOUR_MS, verifyFor: HOUR_MS },
      clock: {
        now: () => nowMs,
        async sleep(ms) {
          nowMs += ms;
        },
      },
    } satisfies RotationOptions;
    for (;;) {
      const outcome = await rotate(options);
      if (outcome.kind === 'rotated') return outcome.kind;
      nowMs = outcome.until;
    }
  } finally {
    await store.close();
  }
}

function expectRotated(world: KubernetesWorld, iam: Iam): void {
  const { 'client-secret': value, 'client-secret.rotation': journal, other } = world.data();
  expect(iam.values()).toEqual([value]);
  expect(value).not.toBe(OLD);
  expect(other).toBe('not-ours');
  expect(journal).not.toContain(value);
  expect(JSON.parse(journal ?? '')).not.toHaveProperty('attempt');
  expect(world.annotations()).toEqual({});
}

describeWithOpenssl('a rotation in a Kubernetes Secret', () => {
  const certificates = makeCertificates((authority) => ({ server: authority.issue('api', 'IP:127.0.0.1') }));

  it('leaves one secret, which works, and no trace of itself', async () => {
    await using world = await startKubernetesWorld(certificates());
    const iam = createIam();
    expect(await rotateFrom('pod-1', world, iam)).toBe('rotated');
    expectRotated(world, iam);
    expect(iam.created()).toBe(1);
    expect(await rotateFrom('pod-2', world, iam)).toBe('rotated');
    expectRotated(world, iam);
  });

  describe.each(['before', 'after'] as const)('cut off for good %s the effect of any request', (when) => {
    it('is taken up by another pod once the lease is over, and never leaves the store without a secret that works', async () => {
      let cuts = 0;
      for (let at = 0; ; at++) {
        await using world = await startKubernetesWorld(certificates());
        const iam = createIam();
        world.api.cut = { from: at, when };
        const first = await rotateFrom('pod-1', world, iam).catch(() => 'cut');
        expect(iam.values()).toContain(world.data()['client-secret']);
        world.api.cut = undefined;
        world.api.nowMs += 76_000;
        expect(await rotateFrom('pod-2', world, iam)).toBe('rotated');
        expectRotated(world, iam);
        if (first === 'rotated') break;
        cuts++;
      }
      process.stdout.write(`cut off ${when} the effect of each of ${cuts} requests, each time taken up\n`);
      expect(cuts).toBeGreaterThan(15);
    });
  });

  it('is done by one of five pods that begin at once', async () => {
    await using world = await startKubernetesWorld(certificates());
    const iam = createIam();
    const pods = Array.from({ length: 5 }, (_, index) => rotateFrom(`pod-${index}`, world, iam));
    const outcomes = await Promise.allSettled(pods);
    const refused = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [String(outcome.reason)] : []));
    expect(outcomes.length - refused.length).toBe(1);
    expect(refused.every((text) => text.includes('ROTATION_LOCKED'))).toBe(true);
    expectRotated(world, iam);
  });
});
