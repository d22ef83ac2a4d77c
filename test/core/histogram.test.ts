// Recorded cheaply, and read exactly as prom-client's own histogram would be.
import fc from 'fast-check';
import { AggregatorRegistry, Histogram, type PrometheusContentType, Registry } from 'prom-client';
import { describe, expect, it } from 'vitest';
import { createHistogram } from '../../src/core/histogram.ts';

const ABOUT = { name: 'a_seconds', help: 'How long it took' };
const BUCKETS = [0.001, 0.25, 1, 30];

const linesOf = async (registry: Registry) => (await registry.metrics()).trim().split('\n').sort();

/** Between bounds, on them and beyond them. */
const duration = fc.oneof(fc.constantFrom(0, ...BUCKETS), fc.double({ min: 0, max: 100, noNaN: true }));

describe('histogram', () => {
  it('reads as a histogram of prom-client, whatever was recorded', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.constantFrom('/', '/banking'), duration)), async (durations) => {
        const own = createHistogram({ ...ABOUT, label: 'route', buckets: BUCKETS });
        const registry = new Registry();
        const theirs = new Histogram({
          ...{ ...ABOUT, labelNames: ['route'], buckets: BUCKETS, registers: [registry] },
        });
        for (const [route, seconds] of durations) {
          own.series(route)(seconds);
          theirs.observe({ route }, seconds);
        }
        const rendered = AggregatorRegistry.aggregate<PrometheusContentType>([[{ ...own.read(), aggregator: 'sum' }]]);
        expect(await linesOf(rendered)).toEqual(await linesOf(registry));
      }),
    );
  });
});
