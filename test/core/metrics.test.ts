// The metric table as Prometheus sees it: names, formats, and labels that nobody outside can multiply.
import fc from 'fast-check';
import { collectDefaultMetrics, type OpenMetricsContentType, Registry } from 'prom-client';
import { describe, expect, it } from 'vitest';
import { createMetrics, METRIC_PREFIX, METRICS, type Metrics } from '../../src/core/metrics.ts';
import { flood } from '../support/label-flood.ts';

/** What is read off a snapshot. */
const PRESENT = [
  { name: 'token_expiry_timestamp_seconds', labels: { credential: 'default', scope: 'api' }, value: 1 },
  { name: 'token_last_success_timestamp_seconds', labels: { credential: 'default' }, value: 1 },
  { name: 'token_consecutive_failures', labels: { credential: 'default' }, value: 0 },
  { name: 'secret_in_use', labels: { credential: 'default', secret: '1' }, value: 1 },
  { name: 'secret_expiry_timestamp_seconds', labels: { credential: 'default', secret: '1' }, value: 1 },
  { name: 'client_assertion_expiry_timestamp_seconds', labels: { credential: 'default' }, value: 1 },
  { name: 'config_generation', labels: {}, value: 1 },
  { name: 'route_working', labels: { route: '/banking' }, value: 1 },
  { name: 'log_lines_lost_total', labels: {}, value: 0 },
  { name: 'fleet_up', labels: {}, value: 1 },
  { name: 'fleet_members', labels: {}, value: 3 },
] as const;

/** Everything recorded once, so that every family has a sample. */
function record(metrics: Metrics): void {
  metrics.forRoute('/banking').record('GET', 200, 0.01);
  metrics.inFlight(1);
  metrics.counterBy('caller_requests_total', 'caller', {})('anyone');
  metrics.failure('tls_unknown_ca');
  metrics.error('ROUTE_NOT_FOUND');
  metrics.replay('unauthorized');
  metrics.count('token_requests_total', { credential: 'default', result: 'ok' });
  metrics.counterBy('token_lookups_total', 'result', { labels: { credential: 'default' } })('hit');
  metrics.observe('token_request_duration_seconds', 'default', 0.1);
  metrics.count('fleet_operations_total', { operation: 'acquire', result: 'ok' });
  metrics.observe('fleet_operation_duration_seconds', 'acquire', 0.001);
  metrics.count('fleet_tokens_total', { source: 'shared' });
  metrics.count('fleet_rejected_total', { reason: 'key' });
  metrics.count('config_reloads_total', { result: 'ok' });
  metrics.count('rotations_total', { credential: 'default', result: 'ok' });
}

const samplesOf = (text: string, family: string) =>
  text.split('\n').filter((line) => line.startsWith(METRIC_PREFIX + family));

describe('metrics', () => {
  it('has every row of the table with help, type and a sample', async () => {
    const metrics = createMetrics('1.2.3');
    record(metrics);
    const text = await metrics.render('text', PRESENT);
    for (const [name, { type, labels }] of Object.entries(METRICS)) {
      const full = METRIC_PREFIX + name;
      expect(text).toContain(`# TYPE ${full} ${type}\n`);
      expect(text).toMatch(new RegExp(`^# HELP ${full} \\S`, 'm'));
      const [sample = ''] = samplesOf(text, name);
      for (const label of labels) expect(sample, full).toContain(`${label}="`);
    }
    expect(text).toContain(`build_info{version="1.2.3",node="${process.versions.node}"} 1`);
    expect(text).toMatch(/^process_cpu_seconds_total /m);
  });

  it('keeps the names of the text format after OpenMetrics was asked for, however often', async () => {
    const metrics = createMetrics('1.2.3');
    record(metrics);
    const namesOf = (text: string) => [...text.matchAll(/^# TYPE (\S+) \S+$/gm)].map(([, name]) => name);
    const first = namesOf(await metrics.render('text', PRESENT));
    const openMetrics = await metrics.render('openMetrics', PRESENT);
    for (let round = 0; round < 3; round += 1) {
      expect(namesOf(await metrics.render('text', PRESENT))).toEqual(first);
      expect(namesOf(await metrics.render('openMetrics', PRESENT))).toEqual(namesOf(openMetrics));
    }
    expect(first).toContain('aritma_sidecar_requests_total');
    // OpenMetrics 1.0: the family has no suffix, its sample has.
    expect(openMetrics).toContain('# TYPE aritma_sidecar_requests counter\n');
    expect(openMetrics).toMatch(/^aritma_sidecar_requests_total\{.*\} 1$/m);
    expect(openMetrics.endsWith('# EOF\n')).toBe(true);
  });

  it('has the process metrics of prom-client under the names that it gives them itself', async () => {
    const openMetrics = new Registry<OpenMetricsContentType>();
    openMetrics.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
    const text = new Registry();
    for (const register of [text, openMetrics]) collectDefaultMetrics({ register: register as Registry });
    const metrics = createMetrics('1.2.3');
    // With the names of samples, which are not the family's in OpenMetrics.
    const namesOf = (rendered: string) =>
      new Set([...rendered.matchAll(/^(?:# (?:TYPE|HELP) .*|\w+(?=[{ ]))/gm)].map(([line]) => line));
    for (const [format, registry] of [['text', text] as const, ['openMetrics', openMetrics] as const]) {
      const theirs = [...namesOf(await registry.metrics())];
      expect(theirs.length).toBeGreaterThan(50);
      const ours = namesOf(await metrics.render(format, []));
      expect(theirs.filter((name) => !ours.has(name))).toEqual([]);
    }
  });

  it('counts on in both formats', async () => {
    const metrics = createMetrics('1.2.3');
    const route = metrics.forRoute('/banking');
    for (let count = 1; count <= 3; count += 1) {
      route.record('GET', 200, 0.01);
      for (const format of ['text', 'openMetrics'] as const) {
        const samples = samplesOf(await metrics.render(format, PRESENT), 'requests_total');
        expect(samples).toEqual([`aritma_sidecar_requests_total{route="/banking",method="GET",code="200"} ${count}`]);
      }
    }
  });

  it('holds as many series after a flood of invented methods as the known ones make', async () => {
    const metrics = createMetrics('1.2.3');
    const route = metrics.forRoute('/banking');
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.constantFrom('get', 'GET ', 'PROPFIND', '__proto__')), (method) =>
        route.record(method, 405, 0),
      ),
      { numRuns: 500 },
    );
    const samples = samplesOf(await metrics.render('text', PRESENT), 'requests_total');
    expect(samples.length).toBeLessThanOrEqual(8);
    expect(samples).toContainEqual(expect.stringContaining('method="other"'));
  });

  it('holds as many series as it states after three hundred thousand random methods and statuses', async () => {
    const metrics = createMetrics('1.2.3');
    flood(metrics, 300_000);
    // Seven methods and `other`, statuses 200 to 599, whatever a caller or an API makes up.
    const samples = samplesOf(await metrics.render('text', PRESENT), 'requests_total');
    expect(samples.length).toBe(2 * 400);
  });

  it('escapes a route that holds quotes, as the formats want it', async () => {
    const metrics = createMetrics('1.2.3');
    metrics.forRoute('/a"b\\c\n').record('GET', 200, 0);
    expect(samplesOf(await metrics.render('text', PRESENT), 'requests_total')[0]).toContain('route="/a\\"b\\\\c\\n"');
  });

  it('has no sample left of a gauge that is not among the present ones', async () => {
    const metrics = createMetrics('1.2.3');
    await metrics.render('text', PRESENT);
    const text = await metrics.render('text', [{ ...PRESENT[0], labels: { credential: 'other', scope: '' } }]);
    expect(samplesOf(text, 'token_expiry')).toEqual([
      'aritma_sidecar_token_expiry_timestamp_seconds{credential="other",scope=""} 1',
    ]);
    expect(samplesOf(text, 'secret_in_use')).toEqual([]);
  });

  it('has no sample of the fleet without a fleet: 0 would be a store that is down', async () => {
    const metrics = createMetrics('1.0.0');
    for (const format of ['text', 'openMetrics'] as const) {
      const text = await metrics.render(format, []);
      expect([...samplesOf(text, 'fleet_up'), ...samplesOf(text, 'fleet_members')]).toEqual([]);
    }
    const text = await metrics.render('text', PRESENT);
    expect(samplesOf(text, 'fleet_up')).toEqual(['aritma_sidecar_fleet_up 1']);
  });

  it('shares nothing between two registries', async () => {
    const [one, two] = [createMetrics('1'), createMetrics('2')];
    one.error('ROUTE_NOT_FOUND');
    const counted = samplesOf(await two.render('text', PRESENT), 'errors_total{code="ROUTE_NOT_FOUND"}');
    expect(counted).toEqual(['aritma_sidecar_errors_total{code="ROUTE_NOT_FOUND"} 0']);
  });
});
