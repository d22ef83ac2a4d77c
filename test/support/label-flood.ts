/** Requests with invented methods and statuses, to check that they create no metric series. */
import type { Metrics } from '../../src/core/metrics.ts';

export function flood(metrics: Metrics, rounds: number): void {
  const route = metrics.forRoute('/banking');
  // A cheap generator: creating the inputs must not take the time that is measured.
  let state = 20_260_101;
  const next = (bound: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state % bound;
  };
  for (let round = 0; round < rounds; round += 1) {
    const method = round % 3 === 0 ? 'GET' : `M${next(1_000_000)}`;
    route.record(method, 200 + next(400), 0.001);
  }
}
