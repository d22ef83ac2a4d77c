// Many callers pay at once while the network between the sidecar and the API does what networks do. The soak is the
// same for longer: `npm run soak -- --seconds 300 --seed 1`.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type ChaosOptions,
  retryingProxyInChaos,
  type SidecarTally,
  sidecarInChaos,
  type Tally,
} from '../support/chaos-world.ts';

const SEED = Number(process.env['CHAOS_SEED'] ?? 20_260_701);
const REQUESTS = 1000;
const OPTIONS: ChaosOptions = { seed: SEED, goesOn: (index) => index < REQUESTS, warmUp: REQUESTS / 4 };

describe(`in a bad network (CHAOS_SEED=${SEED})`, () => {
  let tally: SidecarTally;
  beforeAll(async () => {
    tally = await sidecarInChaos(OPTIONS);
  });
  afterAll(() => {
    process.stdout.write(`chaos ${SEED}: ${JSON.stringify(tally?.endings)} ${JSON.stringify(tally?.struck)}\n`);
  });

  it('every kind of fault has struck and both sides of luck were seen, or the rest would prove nothing', () => {
    expect(Object.entries(tally.struck).filter(([, times]) => times === 0)).toEqual([]);
    expect(tally.requests).toBe(REQUESTS);
    expect(tally.endings).toMatchObject({
      201: expect.any(Number),
      UPSTREAM_RESET: expect.any(Number),
      UPSTREAM_TIMEOUT: expect.any(Number),
      broken: expect.any(Number),
      left: expect.any(Number),
    });
  });

  it('no payment is executed twice', () => {
    expect(tally.executedTwice).toEqual([]);
  });

  it('a payment whose caller was told 2xx is executed exactly once', () => {
    expect(tally.lost).toEqual([]);
  });

  it('a payment is not executed when the answer is the sidecar’s own and does not say mayHaveExecuted', () => {
    expect(tally.denied).toEqual([]);
  });

  it('every request ends in an answer or a broken connection before its deadline', () => {
    expect(tally.hung).toEqual([]);
  });

  it('whatever arrives whole is what a caller sent, with exactly one token of ours', () => {
    expect([tally.mangled, tally.unauthorized]).toEqual([[], []]);
  });

  it('nothing stays behind: no request in flight, no socket, no memory', () => {
    expect(tally.inFlight).toBe(0);
    expect(tally.socketsAfter).toBeLessThanOrEqual(tally.socketsBefore);
    expect(tally.grownBytes ?? 0).toBeLessThan(64 * 1024 * 1024);
  });

  it('the process has nothing to complain about and ends with 0 when asked to', () => {
    expect([tally.exitCode, tally.stderr]).toEqual([0, '']);
  });
});

describe(`a proxy that tries again once, in the same network (CHAOS_SEED=${SEED})`, () => {
  let tally: Tally;
  beforeAll(async () => {
    tally = await retryingProxyInChaos(OPTIONS);
  });

  it('executes payments twice', () => {
    expect(tally.executedTwice.length).toBeGreaterThan(0);
  });
});
