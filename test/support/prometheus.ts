/** A real Prometheus on a free port with the rules of deploy/, scraping one sidecar several times a second. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { vi } from 'vitest';
import { RULE_FILES } from './deployment.ts';
import { createFolder } from './folder.ts';
import { freePort } from './free-port.ts';

export interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
}

export interface ActiveAlert {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly state: 'pending' | 'firing';
}

export interface Prometheus extends AsyncDisposable {
  /** The current result of a query; throws Prometheus's error. */
  query(expr: string): Promise<Sample[]>;
  alerts(): Promise<ActiveAlert[]>;
  /** `data` of any response of its API. */
  api<Data>(path: string): Promise<Data>;
}

export const hasPrometheus = spawnSync('promtool', ['--version']).status === 0;

const configure = (target: string, rules: readonly string[]) => ({
  global: { scrape_interval: '250ms', scrape_timeout: '250ms', evaluation_interval: '500ms' },
  rule_files: rules,
  scrape_configs: [{ job_name: 'aritma-sidecar', static_configs: [{ targets: [target] }] }],
});

/**
 * @param target `127.0.0.1:PORT` of an admin listener
 * @param rules instead of the shipped ones
 */
export async function startPrometheus(target: string, rules: readonly string[] = RULE_FILES): Promise<Prometheus> {
  const folder = createFolder();
  const url = `http://127.0.0.1:${await freePort()}`;
  const file = folder.write('prometheus.yml', JSON.stringify(configure(target, rules)));
  const child = spawn(
    'prometheus',
    [`--config.file=${file}`, `--storage.tsdb.path=${folder.path}/data`, `--web.listen-address=${new URL(url).host}`],
    { stdio: ['ignore', 'ignore', 'pipe'], env: { PATH: process.env['PATH'] ?? '' } },
  );
  let output = '';
  child.stderr.on('data', (text) => {
    output += String(text);
  });
  const stop = async () => {
    // It has no state that needs an orderly stop.
    if (child.exitCode === null && child.signalCode === null && child.kill('SIGKILL')) await once(child, 'exit');
    folder[Symbol.dispose]();
  };
  const api = async <Data>(path: string): Promise<Data> => {
    const answer = (await (await fetch(url + path)).json()) as { data: Data; error?: string };
    if (answer.error !== undefined) throw new Error(`${path}: ${answer.error}`);
    return answer.data;
  };
  try {
    const isReady = async () => {
      if ((await fetch(`${url}/-/ready`)).status !== 200) throw new Error('Prometheus is not ready');
    };
    await vi.waitFor(isReady, { timeout: 10_000, interval: 50 });
  } catch (error) {
    await stop();
    throw new Error(`Prometheus did not start: ${output}`, { cause: error });
  }
  return {
    api,
    query: async (expr) =>
      (await api<{ result: Sample[] }>(`/api/v1/query?${new URLSearchParams({ query: expr })}`)).result,
    alerts: async () => (await api<{ alerts: ActiveAlert[] }>('/api/v1/alerts')).alerts,
    [Symbol.asyncDispose]: stop,
  };
}
