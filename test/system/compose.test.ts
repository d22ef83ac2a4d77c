// deploy/compose as far as it can be tried without Docker: every path, port and name fits, Prometheus takes its part, and the
// ERP's script pays through a sidecar with this configuration.
import { execFile, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it, onTestFinished } from 'vitest';
import { parse } from 'yaml';
import { startEmulator } from '../../src/emulator/server.ts';
import { DEMO_CLIENT } from '../../src/emulator/store.ts';
import { DEPLOY, readText, readYaml } from '../support/deployment.ts';
import { createFolder, load } from '../support/folder.ts';
import { startTestSidecar } from '../support/sidecar.ts';

const FOLDER = join(DEPLOY, 'compose');
const run = promisify(execFile);

interface Service {
  readonly image: string;
  readonly read_only: boolean;
  readonly cap_drop: readonly string[];
  readonly security_opt: readonly string[];
  readonly user?: string;
  readonly command?: readonly string[];
  readonly network_mode?: string;
  readonly mem_limit?: string;
  readonly stop_grace_period?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly healthcheck?: { readonly test?: readonly string[]; readonly disable?: boolean };
  readonly depends_on?: unknown;
  readonly secrets?: readonly string[];
}

interface Compose {
  readonly services: Readonly<Record<'erp' | 'sidecar' | 'emulator' | 'prometheus' | 'grafana', Service>>;
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
  readonly volumes: Readonly<Record<string, unknown>>;
}

const compose = parse(readText('compose/compose.yaml'), { merge: true }) as Compose;
const { services } = compose;
const ALL = Object.entries(services);

function config() {
  using folder = createFolder();
  const secret = folder.write('secret', readText('compose/client-secret'));
  return load(folder, { yaml: readText('compose/sidecar.yaml').replace('/run/secrets/aritma', secret) }).config;
}

describe('deploy/compose/compose.yaml', () => {
  it.each(ALL)('%s: an image that can be pinned, and no right it does not need', (_name, service) => {
    expect(service.image).toMatch(/^\$\{[A-Z]+_IMAGE:-[a-z/-]+:[a-z0-9.-]+\}$/);
    expect(service.image).not.toContain('latest');
    const { read_only, cap_drop, security_opt } = service;
    expect({ read_only, cap_drop, security_opt }).toEqual({
      read_only: true,
      cap_drop: ['ALL'],
      security_opt: ['no-new-privileges:true'],
    });
  });

  it('mounts only what exists, read-only, and volumes that are declared', () => {
    const mounts = ALL.flatMap(([, { volumes = [] }]) => volumes.map((text) => text.split(':')));
    expect(mounts.length).toBeGreaterThan(8);
    for (const [source = '', , mode] of mounts) {
      if (!source.startsWith('.')) expect(Object.keys(compose.volumes)).toContain(source);
      else expect([existsSync(join(FOLDER, source)), mode]).toEqual([true, 'ro']);
    }
    expect(readFileSync(join(FOLDER, compose.secrets['aritma']?.file ?? ''), 'utf8').trim()).toBe(
      DEMO_CLIENT.secrets[0]?.value,
    );
  });

  it('publishes on this machine only', () => {
    const ports = ALL.flatMap(([, { ports: published = [] }]) => published);
    expect(ports.map((port) => /^127\.0\.0\.1:(\d+):\1$/.exec(port)?.[1])).toEqual(['7090', '7100', '9090', '3000']);
  });

  it('has the sidecar in the network of the ERP, with a configuration that loads, as the user of the image', () => {
    const { sidecar } = services;
    expect(sidecar.network_mode).toBe('service:erp');
    const { listen, admin, drain, routes } = config();
    expect([listen, admin]).toEqual([
      [{ kind: 'tcp', host: '127.0.0.1', port: 7080 }],
      [{ kind: 'tcp', host: '0.0.0.0', port: 7090 }],
    ]);
    const hosts = routes.map(({ upstream }) => upstream.origin);
    expect(new Set(hosts)).toEqual(new Set(['http://emulator:7100']));
    expect(services.emulator.command).toEqual(['emulate', '--listen', '0.0.0.0:7100', '--json']);
    expect(readText('../Dockerfile')).toContain(`USER ${sidecar.user}`);
    expect(Number.parseInt(sidecar.stop_grace_period ?? '', 10) * 1000).toBeGreaterThan(drain.minimum + drain.limit);
    expect(sidecar.environment?.['NODE_OPTIONS']).toContain('--max-old-space-size=192');
    expect(sidecar.mem_limit).toBe('256m');
    for (const path of ['/etc/aritma-sidecar', '/run/secrets']) {
      expect(sidecar.environment?.['NODE_OPTIONS']).toContain(`--allow-fs-read=${path}`);
    }
  });

  it('knows of everything that serves whether it is well', () => {
    for (const name of ['sidecar', 'prometheus', 'grafana'] as const) {
      expect(services[name].healthcheck?.test?.[0]).toBe('CMD');
    }
    expect(services.sidecar.healthcheck?.test).toContain('live');
    // The image's check would ask a sidecar.
    expect(services.emulator.healthcheck).toEqual({ disable: true });
    expect(services.sidecar.depends_on).toEqual(['emulator']);
  });

  it('provisions the dashboard and the data source it shows', () => {
    const mounted = (of: Service) => new Map((of.volumes ?? []).map((text) => text.split(':') as [string, string]));
    const dashboard = mounted(services.grafana).get('../grafana/dashboard.json');
    const provider = readYaml(join(FOLDER, 'grafana/dashboards.yaml')) as {
      providers: { options: { path: string } }[];
    };
    expect(dashboard?.startsWith(`${provider.providers[0]?.options.path}/`)).toBe(true);
    expect(services.grafana.environment?.['GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH']).toBe(dashboard);
    const source = readYaml(join(FOLDER, 'grafana/datasource.yaml')) as { datasources: object[] };
    expect(source.datasources).toEqual([
      expect.objectContaining({ type: 'prometheus', url: 'http://prometheus:9090', isDefault: true }),
    ]);
  });
});

describe('deploy/compose/prometheus.yaml', () => {
  const hasPromtool = Boolean(process.env['CI']) || spawnSync('promtool', ['--version']).status === 0;

  it.skipIf(!hasPromtool)('is taken by Prometheus with the rules where they are mounted', () => {
    using folder = createFolder();
    const rules = new Map(
      services.prometheus.volumes?.map((text) => text.split(':').slice(0, 2).reverse() as [string, string]),
    );
    const text = readText('compose/prometheus.yaml').replaceAll(/\/etc\/prometheus\/aritma\/\S+/g, (path) =>
      join(FOLDER, rules.get(path) ?? 'missing'),
    );
    const { status, stdout } = spawnSync('promtool', ['check', 'config', folder.write('p.yaml', text)], {
      encoding: 'utf8',
    });
    expect(stdout).toContain('SUCCESS: 2 rule files found');
    expect(status).toBe(0);
  });

  it('asks the sidecar by the name of the container whose network it shares', () => {
    const { scrape_configs: jobs } = parse(readText('compose/prometheus.yaml')) as { scrape_configs: object[] };
    expect(jobs).toEqual([{ job_name: 'aritma-sidecar', static_configs: [{ targets: ['erp:7090'] }] }]);
  });
});

describe('deploy/compose/erp.sh', () => {
  const hasCurl = Boolean(process.env['CI']) || spawnSync('curl', ['--version']).status === 0;

  it.skipIf(!hasCurl || process.platform !== 'linux')(
    'reads accounts and pays through a sidecar with this configuration',
    async () => {
      const emulator = await startEmulator({ port: 0 });
      onTestFinished(() => emulator.close());
      const here = readText('compose/sidecar.yaml').replaceAll('http://emulator:7100', emulator.url);
      const { routes } = parse(here) as { routes: unknown[] };
      const sidecar = await startTestSidecar({
        upstream: emulator.url,
        tokenEndpoint: `${emulator.url}/connect/token`,
        clientId: DEMO_CLIENT.clientId,
        secret: readText('compose/client-secret').trim(),
        config: { routes },
      });
      onTestFinished(async () => void (await sidecar.stop()));
      const env = { PATH: process.env['PATH'] ?? '', BASE: `${sidecar.url}/banking`, ROUNDS: '1' };
      const { stdout } = await run('sh', [join(FOLDER, 'erp.sh')], { env, timeout: 15_000 });
      expect(stdout).toBe('accounts 200\npayment 201\n');
    },
  );
});
