// Alerts, runbook and dashboard say nothing that is not so: every name exists, every alert is tested and explained.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ERRORS } from '../../src/core/errors.ts';
import { createMetrics, METRIC_PREFIX, METRICS } from '../../src/core/metrics.ts';
import {
  alerts,
  DEPLOY,
  dashboard,
  dashboardQueries,
  RULE_TESTS,
  readText,
  readYaml,
  recordings,
} from '../support/deployment.ts';
import { namesIn, type Selector } from '../support/promql.ts';

const PROMISED_CODES = ['SIDECAR_OVERLOADED'];
/** From Prometheus itself. */
const TARGET_LABELS = ['job', 'instance'];
const CODES = [...Object.keys(ERRORS), ...PROMISED_CODES];

/** Names with their labels, as in an answer of `/metrics`. */
async function knownMetrics(): Promise<Map<string, readonly string[]>> {
  const known = new Map<string, readonly string[]>([['up', []]]);
  for (const [name, { type, labels }] of Object.entries(METRICS)) {
    if (type !== 'histogram') known.set(METRIC_PREFIX + name, labels);
    else for (const [part, more] of HISTOGRAM) known.set(METRIC_PREFIX + name + part, [...labels, ...more]);
  }
  const text = await createMetrics('1.0.0').render('text', []);
  for (const [, name = '', labels = ''] of text.matchAll(/^((?:process|nodejs)_\w+)(?:\{(.*)\})? /gm)) {
    known.set(
      name,
      [...labels.matchAll(/(\w+)="/g)].map(([, label = '']) => label),
    );
  }
  for (const { record, expr } of recordings()) known.set(record, namesIn(expr).grouping);
  return known;
}

const HISTOGRAM = [
  ['_bucket', ['le']],
  ['_sum', []],
  ['_count', []],
] as const;

const EXPRESSIONS = [
  ...recordings().map(({ record, expr }) => [record, expr] as const),
  ...alerts().map(({ alert, expr }) => [alert, expr] as const),
  ...dashboardQueries().map(({ panel, expr }) => [`panel ${panel}`, expr] as const),
];

describe('every expression', () => {
  it.each(EXPRESSIONS)('%s names metrics and labels that exist', async (_name, expr) => {
    const known = await knownMetrics();
    const { selectors, grouping } = namesIn(expr);
    const everyLabel = new Set([...known.values()].flat().concat(TARGET_LABELS));
    expect(selectors.map(({ metric }) => metric).filter((metric) => !known.has(metric))).toEqual([]);
    expect(grouping.filter((label) => !everyLabel.has(label))).toEqual([]);
    const wrong = selectors.flatMap(({ metric, matchers }) =>
      matchers.filter(({ label }) => ![...TARGET_LABELS, ...(known.get(metric) ?? [])].includes(label)),
    );
    expect(wrong).toEqual([]);
  });

  it('matches only error codes that exist', () => {
    const isOfErrors = ({ metric }: Selector) => /^aritma_sidecar(_errors_total|:errors:)/.test(metric);
    const patterns = EXPRESSIONS.flatMap(([, expr]) => namesIn(expr).selectors)
      .filter(isOfErrors)
      .flatMap(({ matchers }) => matchers.filter(({ label }) => label === 'code'))
      .flatMap(({ value }) => value.split('|'));
    expect(patterns.length).toBeGreaterThan(10);
    expect(patterns.filter((pattern) => !CODES.some((code) => new RegExp(`^${pattern}$`).test(code)))).toEqual([]);
  });

  it('takes for a rejection what the sidecar takes for one', () => {
    const source = readFileSync(join(DEPLOY, '../src/oauth/token-response.ts'), 'utf8');
    const [, list = ''] = /REJECTIONS: ReadonlySet<string> = new Set\(\[([^\]]+)\]/.exec(source) ?? [];
    const rejections = [...list.matchAll(/'(\w+)'/g)].map(([, code = '']) => code);
    const rule = recordings().find(({ record }) => record === 'aritma_sidecar:token_rejections:increase10m');
    const [selector] = namesIn(rule?.expr ?? '').selectors;
    expect(selector?.matchers[0]?.value.split('|').sort()).toEqual(rejections.sort());
  });
});

describe('every alert', () => {
  const runbook = readText('prometheus/runbook.md');
  const sections = new Map(
    runbook
      .split(/^## /m)
      .slice(1)
      .map((section) => [section.slice(0, section.indexOf('\n')), section] as const),
  );

  it('has a severity that is explained, a summary, a description, and labels in both that exist', async () => {
    const known = new Set([...(await knownMetrics()).values()].flat().concat(TARGET_LABELS));
    for (const { alert, labels, annotations } of alerts()) {
      expect(['critical', 'warning', 'info'], alert).toContain(labels['severity']);
      const text = `${annotations['summary']} ${annotations['description']}`;
      expect(annotations['summary']?.length, alert).toBeGreaterThan(20);
      expect(annotations['description']?.length, alert).toBeGreaterThan(40);
      const used = [...text.matchAll(/\$labels\.(\w+)/g)].map(([, label = '']) => label);
      expect(used.length, alert).toBeGreaterThan(0);
      expect(used.filter((label) => !known.has(label))).toEqual([]);
    }
  });

  it('has a section of its own in the runbook, and no section is without an alert', () => {
    const names = alerts().map(({ alert }) => alert);
    expect([...sections.keys()].sort()).toEqual(names.toSorted());
    expect(new Set(names).size).toBe(names.length);
    for (const { alert, annotations } of alerts()) {
      expect(annotations['runbook_url']).toBe(`deploy/prometheus/runbook.md#${alert.toLowerCase()}`);
    }
  });

  it('is explained by what it means, what the ERP notices, what to look at and what to do', () => {
    for (const [name, section] of sections) {
      const parts = [...section.matchAll(/^\*\*(.+?)\.\*\* \S/gm)].map(([, part]) => part);
      expect(parts, name).toEqual(['Means', 'The ERP notices', 'Look at', 'Do']);
    }
  });

  it('has a test in which it fires and one in which it does not', () => {
    interface Check {
      readonly alertname: string;
      readonly exp_alerts: readonly { exp_annotations?: Readonly<Record<string, string>> }[];
    }
    const files = RULE_TESTS.map((file) => readYaml(file) as { tests: { alert_rule_test: Check[] }[] });
    const checks = files.flatMap(({ tests }) => tests.flatMap((test) => test.alert_rule_test));
    const names = alerts().map(({ alert }) => alert);
    const tested = (fires: boolean) =>
      new Set(checks.filter(({ exp_alerts }) => exp_alerts.length > 0 === fires).map(({ alertname }) => alertname));
    expect(names.filter((name) => !tested(true).has(name))).toEqual([]);
    expect(names.filter((name) => !tested(false).has(name))).toEqual([]);
    const texts = checks.flatMap(({ exp_alerts }) =>
      exp_alerts.flatMap((one) => Object.values(one.exp_annotations ?? {})),
    );
    // What a template leaves where its label is missing.
    expect(texts.filter((text) => / {2}|no value|\(\)|""| $/.test(text))).toEqual([]);
  });

  it('and everything else written about them names only what exists', async () => {
    const known = await knownMetrics();
    for (const text of [runbook, readText('prometheus/README.md')]) {
      const metrics = [...text.matchAll(/\baritma_sidecar[_:]\w[\w:]*/g)].map(([name]) => name);
      expect(metrics.filter((name) => !known.has(name))).toEqual([]);
      const anchors = [...text.matchAll(/\]\(#([\w-]+)\)/g)].map(([, anchor = '']) => anchor);
      const existing = [...sections.keys()].map((name) => name.toLowerCase());
      expect(anchors.filter((anchor) => !existing.includes(anchor))).toEqual([]);
      const codes = [...text.matchAll(/\b(?:CALLER|ROUTE|TOKEN|CREDENTIALS|UPSTREAM|SIDECAR)_[A-Z_]+\b/g)].map(
        ([code]) => code,
      );
      expect(codes.filter((code) => !CODES.includes(code))).toEqual([]);
      const named = [...text.matchAll(/\bAritma[A-Z]\w+\b/g)]
        .map(([name]) => name)
        .filter((name) => !sections.has(name));
      expect(named.filter((name) => name !== 'AritmaSecretExpires')).toEqual([]);
    }
  });
});

describe('the dashboard', () => {
  const { panels, templating, schemaVersion } = dashboard();
  const shown = panels.filter(({ type }) => type !== 'row');

  it('has a title, a description and a unit for every panel, and the data source that was chosen', () => {
    expect(schemaVersion).toBeGreaterThanOrEqual(41);
    for (const { title, description, fieldConfig, datasource, targets } of shown) {
      expect(title).not.toBe('');
      expect(description?.length, title).toBeGreaterThan(20);
      expect(fieldConfig?.defaults.unit, title).toBeTruthy();
      expect(datasource?.uid, title).toMatch(/^\$\{datasource\}$/);
      expect(targets?.length, title).toBeGreaterThan(0);
    }
  });

  it('shows every metric of the sidecar', () => {
    const queried = new Set(
      dashboardQueries().flatMap(({ expr }) =>
        namesIn(expr).selectors.map(({ metric }) => metric.replace(/_bucket$/, '')),
      ),
    );
    const names = Object.keys(METRICS).map((name) => METRIC_PREFIX + name);
    expect(names.filter((name) => !queried.has(name))).toEqual([]);
  });

  it('has panels with ids of their own that do not lie on one another', () => {
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, cell) => `${x + (cell % w)} ${y + Math.floor(cell / w)}`),
    );
    expect(new Set(cells).size).toBe(cells.length);
    expect(panels.every(({ gridPos: { x, w } }) => x + w <= 24)).toBe(true);
  });

  it('uses no variable that it does not have, and has none that it does not use', () => {
    const names = templating.list.map(({ name }) => name);
    const used = new Set([...JSON.stringify(panels).matchAll(/\$\{?([a-z]\w*)/g)].map(([, name = '']) => name));
    expect([...used].sort()).toEqual(names.toSorted());
  });
});
