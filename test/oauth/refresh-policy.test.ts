import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { elapsedSince } from '../../src/core/clock.ts';
import { phaseOf, planLifespan } from '../../src/oauth/refresh-policy.ts';

const START = { wallMs: 1_700_000_000_000, monotonicMs: 5000 };
const REFRESH_BEFORE_MS = 300_000;
const later = (ms: number) => ({ wallMs: START.wallMs + ms, monotonicMs: START.monotonicMs + ms });
const plan = (lifetimeS: number, random = 0) =>
  planLifespan(START, lifetimeS, { refreshBeforeMs: REFRESH_BEFORE_MS, random });

describe('src/oauth/refresh-policy.ts', () => {
  it.each([
    ['an hour: five minutes before the end, stop 30 s before it', 3600, 3_300_000, 3_570_000],
    ['ten minutes: half-life and five minutes before the end are the same', 600, 300_000, 570_000],
    ['eight seconds: half-life, stop a twentieth before the end', 8, 4000, 7600],
    ['four seconds: half-life, stop a twentieth before the end', 4, 2000, 3800],
    ['one second: half-life, stop a twentieth before the end', 1, 500, 950],
  ])('plans %s', (_what, lifetimeS, refreshAfterMs, usableForMs) => {
    expect(plan(lifetimeS)).toEqual({ since: START, refreshAfterMs, usableForMs });
  });

  it('plans what is left of a token as one that has had it from the start does', () => {
    const left = (leftS: number) =>
      planLifespan(START, leftS, { refreshBeforeMs: REFRESH_BEFORE_MS, random: 0, passedS: 3600 - leftS });
    expect(left(600)).toEqual({ since: START, refreshAfterMs: 300_000, usableForMs: 570_000 });
    expect(left(60)).toEqual({ since: START, refreshAfterMs: 0, usableForMs: 30_000 });
  });

  it('delays the refresh by at most half of the time that is left to do it in', () => {
    expect(plan(3600, 0.999_999).refreshAfterMs).toBeLessThanOrEqual(3_300_000 + 135_000);
    expect(plan(3600, 0.5).refreshAfterMs).toBe(3_300_000 + 67_500);
  });

  it('lets callers have at least nineteen twentieths of any life, and whoever fetches the next token a third of it', () => {
    const lifetimes = fc.double({ min: 1, max: 86_400, noNaN: true });
    const randoms = fc.double({ min: 0, max: 0.999_999, noNaN: true });
    fc.assert(
      fc.property(lifetimes, randoms, (lifetimeS, random) => {
        const { refreshAfterMs, usableForMs } = plan(lifetimeS, random);
        const lifetimeMs = lifetimeS * 1000;
        expect(usableForMs).toBeGreaterThanOrEqual(Math.min(lifetimeMs * 0.95, lifetimeMs - 30_000) - 1e-6);
        expect(usableForMs - refreshAfterMs).toBeGreaterThanOrEqual(Math.min(lifetimeMs / 3, 135_000) - 1e-6);
      }),
    );
  });

  it('calls a token fresh, early and expired exactly at the planned moments', () => {
    const lifespan = plan(3600);
    expect(phaseOf(lifespan, later(3_299_999))).toBe('fresh');
    expect(phaseOf(lifespan, later(3_300_000))).toBe('early');
    expect(phaseOf(lifespan, later(3_569_999))).toBe('early');
    expect(phaseOf(lifespan, later(3_570_000))).toBe('expired');
  });

  it('believes the clock that has gone further, so neither a set-back clock nor a sleep prolongs a token', () => {
    const lifespan = plan(3600);
    const setBack = { wallMs: START.wallMs - 3_600_000, monotonicMs: START.monotonicMs + 3_600_000 };
    const slept = { wallMs: START.wallMs + 3_600_000, monotonicMs: START.monotonicMs + 10 };
    expect(phaseOf(lifespan, setBack)).toBe('expired');
    expect(phaseOf(lifespan, slept)).toBe('expired');
    expect(elapsedSince(START, setBack)).toBe(3_600_000);
  });

  it('never plans use beyond the lifetime or a refresh after the end of use, whatever the numbers', () => {
    const lifetimes = fc.integer({ min: 1, max: 86_400 });
    const randoms = fc.double({ min: 0, max: 0.999_999, noNaN: true });
    const leads = fc.integer({ min: 0, max: 7_200_000 });
    fc.assert(
      fc.property(lifetimes, randoms, leads, (lifetimeS, random, refreshBeforeMs) => {
        const { refreshAfterMs, usableForMs } = planLifespan(START, lifetimeS, { refreshBeforeMs, random });
        expect(usableForMs).toBeLessThan(lifetimeS * 1000);
        expect(refreshAfterMs).toBeGreaterThanOrEqual(Math.min(lifetimeS * 500, usableForMs));
        expect(refreshAfterMs).toBeLessThanOrEqual(usableForMs);
      }),
    );
  });
});
