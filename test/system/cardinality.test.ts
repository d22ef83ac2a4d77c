// Ten million made-up labels: no tool is needed for them, but more time than a developer's test run should take.
import { expect, it } from 'vitest';
import { createMetrics, METRIC_PREFIX } from '../../src/core/metrics.ts';
import { flood } from '../support/label-flood.ts';

it('metrics hold as many series as they state after ten million random methods and statuses', async () => {
  const metrics = createMetrics('1.2.3');
  flood(metrics, 10_000_000);
  const lines = (await metrics.render('text', [])).split('\n');
  const samples = lines.filter((line) => line.startsWith(`${METRIC_PREFIX}requests_total`));
  expect(samples.length).toBe(2 * 400);
}, 120_000);
