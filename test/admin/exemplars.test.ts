// Exemplars: from a slow bucket of the duration histogram to the trace of a call, in OpenMetrics and nowhere else.
import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { hasPrometheus } from '../support/prometheus.ts';
import { createProxyWorld } from '../support/proxy-world.ts';
import { startTraceReceiver } from '../support/trace-receiver.ts';

const ACCEPT = { headers: { accept: 'application/openmetrics-text; version=1.0.0' } };
/** OpenMetrics 1.0: a sample, and after `#` the labels, value and time of an exemplar. */
const LABELS = String.raw`\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*"(?:,(?!\})|(?=\})))*\}`;
const NUMBER = String.raw`[+-]?(?:Inf|NaN|\d+(?:\.\d+)?(?:e[+-]?\d+)?)`;
const SAMPLE = new RegExp(`^([a-zA-Z_:][\\w:]*)(${LABELS})? ${NUMBER}(?: # (${LABELS}) (${NUMBER}) (${NUMBER}))?$`);

interface Sample {
  readonly name: string;
  readonly labels: string;
  readonly exemplar: { readonly labels: string; readonly value: number; readonly timestamp: number } | undefined;
}

/** @throws Error for a line that is not of the format */
function parseOpenMetrics(text: string): Sample[] {
  if (!text.endsWith('\n# EOF\n')) throw new Error('does not end with # EOF');
  const types = new Map([...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = '', type = '']) => [name, type]));
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('# '));
  return lines.map((line) => {
    const [, name = '', labels = '', own, value, timestamp] = SAMPLE.exec(line) ?? [];
    const family = [name, name.replace(/_(?:total|bucket|sum|count)$/, '')].find((one) => types.has(one));
    if (family === undefined) throw new Error(`no sample of a family: ${line}`);
    if ((types.get(family) === 'counter') !== (name === `${family}_total`))
      throw new Error(`a counter without _total: ${line}`);
    const exemplar =
      own === undefined ? undefined : { labels: own, value: Number(value), timestamp: Number(timestamp) };
    return { name, labels, exemplar };
  });
}

async function scrape(adminUrl: string, init = {}): Promise<string> {
  return await (await fetch(`${adminUrl}/metrics`, init)).text();
}

describe('exemplars', () => {
  it('name the trace of a recorded call at the bucket of its duration, in OpenMetrics only', async () => {
    await using receiver = await startTraceReceiver();
    await using world = await createProxyWorld({ config: { tracing: { otlp: receiver.url, sample: 1 } } });
    await world.call('GET /api/x HTTP/1.1');
    const { traceId, spanId } = await receiver.untilSpan(({ kind }) => kind === 'SERVER');
    const samples = parseOpenMetrics(await scrape(world.sidecar.adminUrl, ACCEPT));
    const shown = samples.flatMap(({ name, labels, exemplar }) => (exemplar ? [{ name, labels, exemplar }] : []));
    expect(shown).toHaveLength(1);
    const [{ name, labels, exemplar } = {}] = shown;
    expect(name).toBe('aritma_sidecar_request_duration_seconds_bucket');
    expect(exemplar?.labels).toBe(`{trace_id="${traceId}",span_id="${spanId}"}`);
    expect(exemplar?.value).toBeLessThanOrEqual(
      Number(/le="([\d.]+)"/.exec(labels ?? '')?.[1] ?? Number.POSITIVE_INFINITY),
    );
    expect(Math.abs(Date.now() / 1000 - (exemplar?.timestamp ?? 0))).toBeLessThan(60);
    const classic = await scrape(world.sidecar.adminUrl);
    expect(classic).not.toMatch(/trace_id|# EOF| # \{/);
  });

  it('are not there for calls that are not recorded, or without tracing', async () => {
    for (const config of [{}, { tracing: { otlp: 'http://127.0.0.1:1', sample: 0 } }]) {
      await using world = await createProxyWorld({ config });
      await world.call('GET /api/x HTTP/1.1');
      const samples = parseOpenMetrics(await scrape(world.sidecar.adminUrl, ACCEPT));
      expect(samples.length).toBeGreaterThan(50);
      expect(samples.filter(({ exemplar }) => exemplar)).toEqual([]);
    }
  });

  it.skipIf(!hasPrometheus)('leave the text format as promtool wants it', async () => {
    await using world = await createProxyWorld({ config: { tracing: { otlp: 'http://127.0.0.1:1', sample: 1 } } });
    await world.call('GET /api/x HTTP/1.1');
    const input = await scrape(world.sidecar.adminUrl);
    const { stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input, encoding: 'utf8' });
    // Complaints about names that prom-client chose are not of this test.
    expect(`${stdout}${stderr}`).not.toMatch(/error while linting|parsing error/);
  });
});
