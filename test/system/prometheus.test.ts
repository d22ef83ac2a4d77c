// Prometheus' own programs say that rules, alerts, metrics and the dashboard's queries are right, and a real Prometheus that
// reads a real sidecar comes to the same conclusions as an operator would.
import { execFile, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createMetrics } from '../../src/core/metrics.ts';
import { type Emulator, startEmulator } from '../../src/emulator/server.ts';
import { DEMO_CLIENT } from '../../src/emulator/store.ts';
import { type Addresses, addressesOf, type Running, start } from '../support/cli.ts';
import { DEPLOY, dashboard, dashboardQueries, RULE_FILES, RULE_TESTS, readYaml } from '../support/deployment.ts';
import { createFolder, type Folder } from '../support/folder.ts';
import { PATIENCE_MS } from '../support/own-time.ts';
import { hasPrometheus, type Prometheus, startPrometheus } from '../support/prometheus.ts';

const run = promisify(execFile);
const promtool = (...args: readonly string[]) => run('promtool', [...args], { timeout: 80_000 });

interface World extends AsyncDisposable {
  readonly emulator: Emulator;
  readonly sidecar: Running & Addresses;
  readonly prometheus: Prometheus;
  readonly folder: Folder;
  /** The sidecar's configuration. */
  readonly file: string;
}

function configOf(emulator: Emulator) {
  const { clientId } = DEMO_CLIENT;
  const tokenEndpoint = `${emulator.url}/connect/token`;
  return {
    listen: '127.0.0.1:0',
    admin: '127.0.0.1:0',
    credentials: { default: { tokenEndpoint, clientId, secrets: [{ env: 'TEST_SECRET' }], scope: 'api' } },
    routes: [{ path: '/banking', upstream: `${emulator.url}/banking/api` }],
  };
}

async function createWorld(): Promise<World> {
  const emulator = await startEmulator({ port: 0 });
  const folder = createFolder();
  const file = folder.write('config.yaml', JSON.stringify(configOf(emulator)));
  const env = { TEST_SECRET: DEMO_CLIENT.secrets[0]?.value ?? '' };
  const running = start(['--config', file], { env, limitMs: 60_000 });
  const sidecar = { ...running, ...(await addressesOf(running)) };
  const prometheus = await startPrometheus(new URL(sidecar.adminUrl).host);
  return {
    emulator,
    sidecar,
    prometheus,
    folder,
    file,
    async [Symbol.asyncDispose]() {
      await prometheus[Symbol.asyncDispose]();
      await sidecar[Symbol.asyncDispose]();
      await emulator.close();
      folder[Symbol.dispose]();
    },
  };
}

const skipped = !hasPrometheus && !process.env['CI'];

describe.skipIf(skipped)('promtool', () => {
  it('finds nothing wrong with the rules', async () => {
    const { stdout } = await promtool('check', 'rules', ...RULE_FILES);
    expect(stdout.match(/SUCCESS/g)?.length).toBe(RULE_FILES.length);
  });

  it('finds nothing wrong with our metrics, and with those of prom-client three names that docs/decisions.md tells of', async () => {
    const sample = { name: 'route_working', labels: { route: '/banking' }, value: 1 } as const;
    const input = await createMetrics('1.0.0').render('text', [sample]);
    const { stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input, encoding: 'utf8' });
    const wrong = ['handles', 'requests', 'resources'].map(
      (what) => `nodejs_active_${what}_total non-counter metrics should not have "_total" suffix`,
    );
    expect(`${stdout}${stderr}`.trim().split('\n').sort()).toEqual(wrong);
  });

  it('finds nothing wrong with the scrape configuration', async () => {
    const { scrape_configs } = readYaml(`${DEPLOY}/prometheus/scrape.yaml`) as { scrape_configs: object[] };
    // Debian builds Prometheus without the Kubernetes client, and its promtool then does not know that one field.
    const known = scrape_configs.map((job) => ({ ...job, kubernetes_sd_configs: undefined }));
    const folder = createFolder();
    try {
      const file = folder.write('prometheus.yml', JSON.stringify({ scrape_configs: known }));
      expect((await promtool('check', 'config', file)).stdout).toContain('SUCCESS');
    } finally {
      folder[Symbol.dispose]();
    }
  });

  // Files on their own, for two processors.
  it.concurrent.each(RULE_TESTS.map((file) => [file.replace(/^.*\//, ''), file] as const))(
    'says that every alert comes when it should and not otherwise: %s',
    async (_name, file) => {
      expect((await promtool('test', 'rules', file)).stdout).toContain('SUCCESS');
    },
  );
});

describe.skipIf(skipped)('Prometheus', () => {
  let world: World;
  beforeAll(async () => {
    world = await createWorld();
    for (let call = 0; call < 5; call += 1) {
      expect((await fetch(`${world.sidecar.url}/banking/accounts`)).status).toBe(200);
      await fetch(`${world.sidecar.url}/nowhere`);
    }
  });
  afterAll(() => world?.[Symbol.asyncDispose]());

  const eventually = <T>(check: () => Promise<T>) => vi.waitFor(check, { timeout: PATIENCE_MS, interval: 100 });
  const valueNow = async (expr: string) => Number((await world.prometheus.query(expr))[0]?.value[1]);

  it('has nothing to say against the sidecar’s own metrics in the text format', async () => {
    const text = await (await fetch(`${world.sidecar.adminUrl}/metrics`)).text();
    const checked = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' });
    const complaints = `${checked.stdout}${checked.stderr}`.trim().split('\n');
    // Gauges that prom-client has called so since its first version.
    const excused =
      /^nodejs_active_(handles|requests|resources)_total non-counter metrics should not have "_total" suffix$/;
    expect(complaints.filter((line) => !excused.test(line))).toEqual([]);
  });

  it('reads the sidecar, in OpenMetrics, which is what it asks for first', async () => {
    interface Target {
      readonly health: string;
      readonly lastError: string;
    }
    // One look may find the sidecar busy for longer than Prometheus waits.
    await eventually(async () => {
      const { activeTargets } = await world.prometheus.api<{ activeTargets: Target[] }>('/api/v1/targets');
      expect(activeTargets.map(({ health, lastError }) => [health, lastError])).toEqual([['up', '']]);
    });
    const accept = 'application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5';
    const { headers } = await fetch(`${world.sidecar.adminUrl}/metrics`, { headers: { accept } });
    expect(headers.get('content-type')).toContain('application/openmetrics-text');
    await eventually(async () => expect(await valueNow('aritma_sidecar_requests_total{route="/banking"}')).toBe(5));
  });

  it('evaluates all rules without an error', async () => {
    interface Group {
      readonly name: string;
      readonly rules: readonly { name: string; health: string; lastError?: string }[];
    }
    await eventually(async () => {
      const { groups } = await world.prometheus.api<{ groups: Group[] }>('/api/v1/rules');
      const unwell = groups.flatMap(({ rules }) => rules.filter(({ health }) => health !== 'ok'));
      expect(groups.length).toBeGreaterThan(3);
      expect(unwell).toEqual([]);
    });
  });

  it('records what the calls were', async () => {
    for (const [record, low, high] of [
      ['aritma_sidecar:availability_objective', 0.999, 0.999],
      ['aritma_sidecar:requests:rate5m{route="/banking"}', 0, 1000],
      ['aritma_sidecar:request_duration_seconds:p99_5m{route="/banking"}', 0, 10],
      ['aritma_sidecar:requests_failed:ratio_rate5m{route="/banking"}', 0, 0],
      ['aritma_sidecar:requests_failed:ratio_rate3d{route="/banking"}', 0, 0],
      ['aritma_sidecar:errors:increase10m{code="ROUTE_NOT_FOUND"}', 5, 5],
      ['aritma_sidecar:watched:10m', 1, 1],
    ] as const) {
      await eventually(async () => {
        // Growing numbers, so that rates have something to see.
        await fetch(`${world.sidecar.url}/banking/accounts`);
        await world.prometheus.query(record);
        const value = await valueNow(record);
        expect(value, record).toBeGreaterThanOrEqual(low);
        expect(value, record).toBeLessThanOrEqual(high);
      });
    }
    const alerts = async () => (await world.prometheus.alerts()).map(({ labels }) => labels['alertname']);
    // One look at a busy sidecar may take longer than Prometheus waits.
    expect((await alerts()).filter((name) => name !== 'AritmaSidecarDown')).toEqual([]);
    await eventually(async () => expect(await alerts()).toEqual([]));
  });

  it('understands every query of the dashboard, and those of its first row have answers', async () => {
    const queries = dashboardQueries();
    expect(queries.length).toBeGreaterThan(30);
    const empty: string[] = [];
    // No client authenticates with an assertion here; when secrets expire is not known, none is rotated, and there is no fleet.
    const answerable = queries.filter(({ expr }) => !expr.includes('client_assertion'));
    for (const { panel, expr } of answerable) if ((await world.prometheus.query(expr)).length === 0) empty.push(panel);
    await Promise.all(queries.map(({ expr }) => world.prometheus.query(expr)));
    const { panels } = dashboard();
    const row = panels.findIndex(({ type, title }) => type === 'row' && title === 'Fleet');
    const rest = panels.slice(row + 1);
    const ofFleet = rest.slice(
      0,
      rest.findIndex(({ type }) => type === 'row'),
    );
    const silent = ['Secret expires in', 'Rotations by result', ...ofFleet.map(({ title }) => title)];
    expect([...new Set(empty)]).toEqual(silent);
  });

  it('tells when the configuration is broken and when there is no token, and nothing else', async () => {
    const stateOf = async (name: string) => {
      const found = (await world.prometheus.alerts()).filter(({ labels }) => labels['alertname'] === name);
      return found.map(({ state, labels }) => [state, labels['severity']]);
    };
    writeFileSync(world.file, '{ "listen": ');
    await eventually(async () => expect(await stateOf('AritmaConfigReloadFailed')).toEqual([['firing', 'warning']]));
    await world.emulator.close();
    await fetch(`${world.sidecar.adminUrl}/token/refresh`, { method: 'POST' });
    await eventually(async () => expect(await stateOf('AritmaNoToken')).toEqual([['pending', 'critical']]));
    const [alert] = (await world.prometheus.alerts()).filter(({ labels }) => labels['alertname'] === 'AritmaNoToken');
    const { host } = new URL(world.sidecar.adminUrl);
    expect(alert?.annotations['summary']).toBe(`There is no token for credential default on ${host}`);
    const expected = [
      'AritmaConfigReloadFailed',
      'AritmaConfigStillBroken',
      'AritmaNoToken',
      'AritmaTokenRefreshFailing',
      // Without a token no route works.
      'AritmaRouteFails',
    ];
    const names = (await world.prometheus.alerts()).map(({ labels }) => labels['alertname'] ?? '');
    expect(names.filter((name) => !expected.includes(name))).toEqual([]);
    await eventually(async () => expect(await valueNow('aritma_sidecar:config_reload_broken:state')).toBe(1));
  });
});
