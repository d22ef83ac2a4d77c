// Recorded cheaply, and read exactly as prom-client's own histogram would be.
import fc from 'fast-check';
import { Histogram, Registry } from 'prom-client';
import { describe, expect, it } from 'vitest';
import { createLatencies } from '../../src/core/histogram.ts';

const ABOUT = { name: 'a_seconds', help: 'How long it took' };
const BUCKETS = [0.001, 0.25, 1, 30];

async function read(record: (registry: Registry) => (route: string, seconds: number) => void, durations: Durations) {
  const registry = new Registry();
  const observe = record(registry);
  for (const [route, seconds] of durations) observe(route, seconds);
  return (await registry.metrics()).trim().split('\n').sort();
}

type Durations = readonly (readonly [route: string, seconds: number])[];

/** Between bounds, on them and beyond them. */
const duration = fc.oneof(fc.constantFrom(0, ...BUCKETS), fc.double({ min: 0, max: 100, noNaN: true }));

describe('latencies', () => {
  it('are the samples of a histogram of prom-client, whatever was recorded', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.constantFrom('/', '/banking'), duration)), async (durations) => {
        const own = await read((registry) => {
          const latencies = createLatencies({ ...ABOUT, label: 'route', buckets: BUCKETS });
          registry.registerMetric(latencies.metric);
          return (route, seconds) => latencies.series(route)(seconds);
        }, durations);
        const theirs = await read((registry) => {
          const histogram = new Histogram({
            ...{ ...ABOUT, labelNames: ['route'], buckets: BUCKETS, registers: [registry] },
          });
          return (route, seconds) => histogram.observe({ route }, seconds);
        }, durations);
        expect(own).toEqual(theirs);
      }),
    );
  });
});
