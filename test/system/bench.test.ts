/** The bench still runs: every subject that needs only npm, every workload, no errors; what it measures is not judged. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Report } from '../bench/report/report.ts';
import { createFolder } from '../support/folder.ts';
import { missingRedis } from '../support/redis-server.ts';

const MAIN = join(import.meta.dirname, '../bench/main.ts');
const ROOT = join(import.meta.dirname, '../..');
const NPM_ONLY = ['floor', 'http-proxy-3', 'http-proxy-middleware', 'fastify-http-proxy', 'fast-proxy', 'httpxy'];

describe('npm run bench -- --smoke', () => {
  it('measures every subject under every workload, without an error, and writes report and chart', async () => {
    const folder = createFolder();
    onTestFinished(() => folder[Symbol.dispose]());
    const [json, svg] = [join(folder.path, 'bench.json'), join(folder.path, 'bench.svg')];
    // From the source: somebody else may be compiling dist at the same time.
    const args = [MAIN, '--smoke', '--from', 'src', '--json', json, '--svg', svg];
    const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 110_000 });
    expect(stdout.split('\n').filter((line) => line.includes('INVALID'))).toEqual([]);

    const report = JSON.parse(readFileSync(json, 'utf8')) as Report;
    const names = report.subjects.map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(['sidecar', ...NPM_ONLY]));
    expect(report.skipped.every((name) => !names.includes(name) && stdout.includes(name))).toBe(true);
    expect(report.figures.filter(({ validRounds, invalidRounds }) => validRounds !== 1 || invalidRounds !== 0)).toEqual(
      [],
    );
    expect(new Set(report.figures.map(({ workload }) => workload))).toEqual(new Set(Object.keys(report.titles)));
    for (const { lane, values } of report.figures) {
      expect(values.perSecond?.median).toBeGreaterThan(0);
      expect(values.p99Ms?.median).toBeGreaterThanOrEqual(values.p50Ms?.median ?? Infinity);
      expect(values.cpuUs?.median ?? 0).toBeGreaterThanOrEqual(lane === 'direct' ? 0 : 1);
    }
    const { sparse, idle, cold, fleet, starts, memory } = report.findings;
    expect(sparse).toMatchObject([
      { subject: 'sidecar', errors: 0 },
      { subject: 'sidecar, warm', errors: 0 },
    ]);
    expect(idle).toMatchObject([{ subject: 'sidecar' }]);
    expect(idle[0]?.seconds).toBeGreaterThanOrEqual(0.5);
    expect(cold).toMatchObject([{ tokenRequests: 1, result: { errors: {} } }]);
    expect(cold[0]?.result.requests).toBe(cold[0]?.callers);
    if (missingRedis().length === 0) {
      const once = { tokenRequests: 1, failed: 0 };
      expect(fleet).toMatchObject({
        results: [{ mode: 'fleet', cold: once, refresh: once, dead: once }],
        warm: { commands: 0, requests: 40, errors: {} },
      });
    } else expect(report.skipped).toContain('redis-server');
    expect(starts[0]).toBeGreaterThan(10);
    expect(memory[0]?.loadedBytes).toHaveLength(10);
    expect(readFileSync(svg, 'utf8')).toMatch(/^<svg [\s\S]*<\/svg>\n$/);
  }, 120_000);
});

describe('npm run bench -- --compare', () => {
  it('measures this tree beside a checkout that it builds first, and does not fail for what a smoke run cannot decide', async () => {
    const folder = createFolder();
    onTestFinished(() => folder[Symbol.dispose]());
    const json = join(folder.path, 'bench.json');
    const args = [MAIN, '--smoke', '--from', 'src', '--compare', ROOT, '--json', json];
    await promisify(execFile)(process.execPath, args, { timeout: 110_000 });
    const { findings } = JSON.parse(readFileSync(json, 'utf8')) as Report;
    expect(findings.comparison).toMatchObject([
      ...['get-32', 'get-1', 'get-512', 'get-1m', 'open-200'].map((workload) => ({ workload, own: { count: 1 } })),
      ...['ms until ready', 'CPU ms'].map((measure) => ({ workload: 'start', measure, before: { count: 1 } })),
      { workload: 'memory', measure: 'idle, MiB', verdict: 'undecided' },
    ]);
  }, 120_000);

  it('fails for a folder that is neither a checkout nor a build', async () => {
    const folder = createFolder();
    onTestFinished(() => folder[Symbol.dispose]());
    const args = [MAIN, '--smoke', '--from', 'src', '--compare', folder.path];
    const failed = promisify(execFile)(process.execPath, args, { timeout: 110_000 });
    await expect(failed).rejects.toMatchObject({ code: 1, stderr: expect.stringContaining('neither a build') });
  }, 120_000);
});
