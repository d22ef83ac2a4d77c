/** What `rotate` tells whoever runs it, and how seldom running sidecars begin a rotation. */
import type { SimulatedProcess } from '../platform/process.ts';
import type { Invariant } from './invariants.ts';

export const rotatesOnce: Invariant = {
  sentence:
    '`rotate` begins no rotation after it has waited for the end of one, and tells when the secret expires that is stored then. Excused: when people have stored another one.',
  watch(world, violated) {
    const waiting = new Set<SimulatedProcess>();
    return (observation) => {
      if (observation.kind !== 'rotateTold' || !world.iam) return;
      const { by, host, step, expiresAt } = observation;
      if (step === 'waits') waiting.add(by);
      if (step === 'started' && waiting.has(by)) violated(`${by.name} has begun another one`);
      if (step !== 'rotated') return;
      // Each rotation makes a secret that expires.
      if (expiresAt === Number.POSITIVE_INFINITY) violated(`${by.name} knows no expiry`);
      const { administrator, server } = world.iam;
      const stored = server.secrets.filter(({ value }) => value === administrator.storedOn(host));
      const isByHand = !stored.some((secret) => secret.by);
      if (!isByHand && !stored.some((secret) => secret.expiresAt === expiresAt))
        violated(`${by.name} says ${expiresAt}, it is ${stored.map((secret) => secret.expiresAt).join(', ')}`);
    };
  },
};

const MOST = 2;

export const rotatesSeldom: Invariant = {
  sentence:
    'When everything works again, running sidecars begin at most two rotations in the hour that follows, whatever their clocks.',
  watch(_world, violated) {
    let begun = Number.NEGATIVE_INFINITY;
    return (observation) => {
      if (observation.kind === 'recovered') begun = 0;
      if (observation.kind !== 'log') return;
      const { message, step } = observation.line;
      if (message === 'rotation' && step === 'started') begun += 1;
      if (begun > MOST) violated(`${observation.process.name} begins number ${begun}`);
    };
  },
};
