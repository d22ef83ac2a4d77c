// Every way to add the sidecar to a pod: renders, fits the published types of the oldest and newest Kubernetes, and means what
// the sidecar's own contract and configuration say.
import { rootCertificates } from 'node:tls';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { createFolder, load } from '../support/folder.ts';
import {
  type Container,
  canKustomize,
  complaints,
  EXAMPLES,
  KUBERNETES_1_29,
  KUBERNETES_1_36,
  type Pod,
  podOf,
  type Resource,
  render,
  schemaFault,
} from '../support/kustomize.ts';

const NATIVE = ['deployment', 'fleet', 'job', 'socket', 'statefulset'];
const OLDER = ['older-deployment', 'older-job'];
const SECRET = '/etc/aritma-sidecar/secret/client-secret';
const CONFIG = '/etc/aritma-sidecar/config/config.yaml';
const RESTRICTED = {
  runAsNonRoot: true,
  runAsUser: 10001,
  runAsGroup: 10001,
  readOnlyRootFilesystem: true,
  allowPrivilegeEscalation: false,
  capabilities: { drop: ['ALL'] },
  seccompProfile: { type: 'RuntimeDefault' },
};

const rendered = new Map<string, Resource[]>();
function resourcesOf(example: string): Resource[] {
  const known = rendered.get(example) ?? render(example);
  rendered.set(example, known);
  return known;
}

function only(example: string, isIt: (resource: Resource) => boolean): Resource {
  const [found, ...more] = resourcesOf(example).filter(isIt);
  if (!found || more.length > 0) throw new Error(`${more.length + (found ? 1 : 0)} in ${example}`);
  return found;
}

function erpPod(example: string): Pod {
  const pod = podOf(only(example, ({ metadata }) => metadata.name === 'erp'));
  if (!pod) throw new Error('no pod');
  return pod;
}

function sidecarOf(pod: Pod): Container {
  const found = [...(pod.initContainers ?? []), ...pod.containers].find(({ name }) => name.startsWith('aritma-'));
  if (!found) throw new Error('no sidecar');
  return found;
}

const envOf = ({ env = [] }: Container) => Object.fromEntries(env.map(({ name, value }) => [name, value]));

/** The configuration a container mounts, loaded by the real loader; files it names are made. */
function configOf(example: string, pod: Pod) {
  const name = pod.volumes.find(({ configMap }) => configMap)?.configMap?.name;
  const text =
    only(example, ({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === name).data?.['config.yaml'] ?? '';
  using folder = createFolder();
  const file = folder.write('client-secret', 'a-client-secret');
  folder.write('fleet-key', 'k'.repeat(43));
  folder.write('valkey-password', 'a-password');
  folder.write('ca.crt', rootCertificates[0] ?? '');
  const env = envOf(sidecarOf(pod));
  const listen = env['ARITMA_LISTEN'];
  const loaded = load(folder, {
    yaml: text
      .replaceAll(/\/etc\/aritma-sidecar\/(?:secret|admin)\/client-secret/g, file)
      .replaceAll(/\/etc\/aritma-sidecar\/fleet(?:-ca)?(?=\/)/g, folder.path),
    env: listen === undefined ? {} : { ARITMA_LISTEN: listen },
  });
  return { ...loaded, raw: parse(text) as { credentials: Record<string, { secrets: { file: string }[] }> } };
}

describe.skipIf(!canKustomize && !process.env['CI'])('deploy/kubernetes', () => {
  it('has an example of every kind and way', () => {
    expect(EXAMPLES).toEqual([...NATIVE, ...OLDER].sort());
    const kinds = EXAMPLES.map((example) => only(example, ({ metadata }) => metadata.name === 'erp').kind);
    expect(kinds).toEqual(['Deployment', 'Deployment', 'Job', 'Deployment', 'Job', 'Deployment', 'StatefulSet']);
  });

  it.each([
    ['1.29', KUBERNETES_1_29],
    ['1.36', KUBERNETES_1_36],
  ])('fits the types of Kubernetes %s to the last field', (_version, schemas) => {
    const all = EXAMPLES.flatMap(resourcesOf);
    expect(complaints(all, schemas)).toBe('');
  });

  it('fits the JSON schemas of Kubernetes 1.36, which find wrong types and missing fields', async () => {
    const all = EXAMPLES.flatMap(resourcesOf);
    expect(all.length).toBeGreaterThan(20);
    expect((await Promise.all(all.map(schemaFault))).filter((fault) => fault !== undefined)).toEqual([]);
    const [deployment] = resourcesOf('deployment').filter(({ kind }) => kind === 'Deployment');
    const text = JSON.stringify(deployment);
    for (const [right, wrong] of [
      ['"containerPort":7090', '"containerPort":"7090"'],
      ['"name":"aritma-sidecar",', ''],
      ['"template"', '"templates"'],
      ['"runAsNonRoot":true', '"runAsNonRoot":"true"'],
    ] as const) {
      expect(text).toContain(right);
      expect(await schemaFault(JSON.parse(text.replaceAll(right, wrong)) as Resource)).toMatch(/^Deployment: /);
    }
  });

  it('such types find a field that does not exist, one that is missing and one of another type', () => {
    const [deployment] = resourcesOf('deployment').filter(({ kind }) => kind === 'Deployment');
    const text = JSON.stringify(deployment);
    const wrong = [
      text.replace('"restartPolicy"', '"restartPolicyy"'),
      text.replace('"containerPort":7090', '"containerPort":"7090"'),
      text.replace('"template"', '"templates"'),
    ].map((one) => JSON.parse(one) as Resource);
    for (const schemas of [KUBERNETES_1_29, KUBERNETES_1_36]) {
      for (const resource of wrong) expect(complaints([resource], schemas)).toMatch(/error TS2(?!307)\d+/);
    }
  });

  it.each(NATIVE)('%s: a native sidecar, started before everything else in the pod', (example) => {
    expect(erpPod(example).initContainers?.[0]).toMatchObject({ name: 'aritma-sidecar', restartPolicy: 'Always' });
    expect(erpPod(example).containers.map(({ name }) => name)).toEqual(['erp']);
  });

  it('keeps the init containers there are, after the sidecar', () => {
    expect(erpPod('statefulset').initContainers?.map(({ name }) => name)).toEqual(['aritma-sidecar', 'migrate']);
  });

  it.each(OLDER)('%s: an ordinary container, first, which the next waits for', (example) => {
    const { containers, initContainers } = erpPod(example);
    expect(initContainers).toBeUndefined();
    expect(containers.map(({ name }) => name)).toEqual(['aritma-sidecar', 'erp']);
    expect(sidecarOf(erpPod(example))['lifecycle']).toEqual({
      postStart: {
        exec: {
          command: ['/usr/local/bin/aritma-sidecar', 'wait', '--config', CONFIG, '--for', 'started', '--max', '60s'],
        },
      },
    });
  });

  it.each(EXAMPLES)('%s: probes ask the admin port for what each means', (example) => {
    const sidecar = sidecarOf(erpPod(example));
    const { admin } = configOf(example, erpPod(example)).config;
    expect(admin[0]).toEqual({ kind: 'tcp', host: '0.0.0.0', port: 7090 });
    expect(sidecar.ports).toEqual([{ name: 'aritma-admin', containerPort: 7090, protocol: 'TCP' }]);
    const paths = { startupProbe: '/startupz', readinessProbe: '/readyz', livenessProbe: '/livez' };
    for (const [probe, path] of Object.entries(paths)) {
      expect(sidecar[probe]).toMatchObject({ httpGet: { path, port: 'aritma-admin' } });
    }
  });

  it.each(EXAMPLES)('%s: nothing that the Pod Security standard `restricted` forbids', (example) => {
    const pods = resourcesOf(example).flatMap((resource) => podOf(resource) ?? []);
    for (const pod of pods) {
      expect(sidecarOf(pod)['securityContext']).toEqual(RESTRICTED);
      for (const field of ['hostNetwork', 'hostPID', 'hostIPC']) expect(pod[field]).toBeUndefined();
      const kinds = pod.volumes.flatMap(({ name: _, ...source }) => Object.keys(source));
      expect(kinds.filter((kind) => !['secret', 'configMap', 'emptyDir'].includes(kind))).toEqual([]);
      expect(pod.automountServiceAccountToken).toBe(pod.serviceAccountName !== undefined);
    }
    expect(erpPod(example).automountServiceAccountToken).toBe(false);
  });

  it.each(EXAMPLES)('%s: the secret is a file in a folder that the sidecar alone mounts', (example) => {
    const pod = erpPod(example);
    expect(configOf(example, pod).raw.credentials['default']?.secrets).toEqual([{ file: SECRET }]);
    const volume = pod.volumes.find(({ name }) => name === 'aritma-sidecar-secret');
    expect(volume?.secret).toEqual({
      secretName: 'aritma-client',
      defaultMode: 0o444,
      items: [{ key: 'client-secret', path: 'client-secret' }],
    });
    const all = [...(pod.initContainers ?? []), ...pod.containers];
    const mounts = all.flatMap(({ name, volumeMounts = [] }) =>
      volumeMounts.map((mount) => ({ container: name, ...mount })),
    );
    const ofSecret = mounts.filter(({ name }) => name === 'aritma-sidecar-secret');
    expect(ofSecret).toEqual([
      {
        container: 'aritma-sidecar',
        name: 'aritma-sidecar-secret',
        mountPath: '/etc/aritma-sidecar/secret',
        readOnly: true,
      },
    ]);
    expect(sidecarOf(pod).args).toEqual(['serve', '--config', CONFIG]);
    expect(JSON.stringify(all)).not.toContain('secretKeyRef');
  });

  it.each(EXAMPLES)(
    '%s: drains within the time Kubernetes gives, its heap is three quarters of its memory',
    (example) => {
      const { drain } = configOf(example, erpPod(example)).config;
      expect(drain.minimum + drain.limit).toBeLessThan(30_000);
      expect(drain.minimum).toBe(example.startsWith('older') ? 15_000 : 0);
      const { resources, ...sidecar } = sidecarOf(erpPod(example));
      expect(resources?.limits).toEqual({ memory: '256Mi' });
      expect(envOf(sidecar as Container)['NODE_OPTIONS']).toMatch(/^--permission .* --max-old-space-size=192$/);
    },
  );

  it('shares the Unix socket with the ERP and nobody else, and listens on no port for callers', () => {
    const pod = erpPod('socket');
    expect(configOf('socket', pod).config.listen).toEqual([{ kind: 'unix', path: '/run/aritma-sidecar/callers.sock' }]);
    const all = [...(pod.initContainers ?? []), ...pod.containers];
    const sharing = all.filter(({ volumeMounts = [] }) =>
      volumeMounts.some(({ name }) => name === 'aritma-sidecar-socket'),
    );
    expect(sharing.map(({ name }) => name)).toEqual(['aritma-sidecar', 'erp']);
    expect(pod.volumes.find(({ name }) => name === 'aritma-sidecar-socket')?.emptyDir).toBeDefined();
  });

  it.each(EXAMPLES.filter((name) => name !== 'socket'))('%s: callers only from within the pod', (example) => {
    expect(configOf(example, erpPod(example)).config.listen).toEqual([{ kind: 'tcp', host: '127.0.0.1', port: 7080 }]);
  });

  it('gives the sidecars of a fleet key, password and CA, and not what is the store’s own', () => {
    const pod = erpPod('fleet');
    const { config, fleetSecrets } = configOf('fleet', pod);
    expect(config.fleet?.url).toMatchObject({ host: 'aritma-valkey', port: 6379, secure: true, user: 'aritma' });
    expect(config.unsafe.plainTextHttp).toBe(false);
    expect([fleetSecrets?.keys.length, fleetSecrets?.password === undefined]).toEqual([1, false]);
    const mounted = new Map(sidecarOf(pod).volumeMounts?.map(({ name, mountPath }) => [name, mountPath]));
    const files = pod.volumes.flatMap(({ name, secret }) =>
      (secret?.items ?? []).map(({ path }) => `${mounted.get(name)}/${String(path)}`),
    );
    expect(files.sort()).toEqual([
      '/etc/aritma-sidecar/fleet-ca/ca.crt',
      '/etc/aritma-sidecar/fleet/fleet-key',
      '/etc/aritma-sidecar/fleet/valkey-password',
      SECRET,
    ]);
    for (const container of pod.containers) expect(container.volumeMounts ?? []).toEqual([]);
  });

  it('has one store for them, which its Service finds, which only sidecars reach and which reaches nothing', () => {
    const store = only('fleet', ({ kind }) => kind === 'StatefulSet');
    const { template } = store['spec'] as { template: { metadata: { labels: object } } };
    const labels = { app: 'aritma-valkey' };
    expect(template.metadata.labels).toEqual(labels);
    const service = only('fleet', ({ kind }) => kind === 'Service');
    expect(service.metadata.name).toBe(configOf('fleet', erpPod('fleet')).config.fleet?.url?.host);
    expect(service['spec']).toMatchObject({ selector: labels, ports: [{ port: 6379, targetPort: 'valkey' }] });
    const policy = only('fleet', ({ kind, metadata }) => kind === 'NetworkPolicy' && metadata.name === 'aritma-valkey');
    expect(policy['spec']).toEqual({
      podSelector: { matchLabels: labels },
      policyTypes: ['Ingress', 'Egress'],
      ingress: [
        {
          from: [
            {
              podSelector: {
                matchExpressions: [{ key: 'aritma.io/sidecar', operator: 'In', values: ['native', 'older'] }],
              },
            },
          ],
          ports: [{ protocol: 'TCP', port: 6379 }],
        },
      ],
      egress: [],
    });
    const erp = only('fleet', ({ metadata }) => metadata.name === 'erp')['spec'] as {
      template: { metadata: { labels: Record<string, string> } };
    };
    expect(erp.template.metadata.labels['aritma.io/sidecar']).toBe('native');
  });

  it('lets the store keep its values in less memory than it has, and nowhere else', () => {
    const pod = podOf(only('fleet', ({ kind }) => kind === 'StatefulSet'));
    if (!pod) throw new Error('no pod');
    expect(sidecarOf(pod).resources?.limits).toEqual({ memory: '128Mi' });
    const isSettings = ({ kind, metadata }: Resource) =>
      kind === 'ConfigMap' && metadata.name === pod.volumes.find(({ configMap }) => configMap)?.configMap?.name;
    const settings = only('fleet', isSettings).data?.['valkey.conf'] ?? '';
    expect(settings.split('\n')).toEqual(
      expect.arrayContaining(['port 0', 'save ""', 'appendonly no', 'maxmemory 64mb', 'maxmemory-policy noeviction']),
    );
    const mounts = sidecarOf(pod).volumeMounts?.map(({ mountPath }) => mountPath) ?? [];
    const paths = [...settings.matchAll(/ (\/etc\S+)/g)].map(([, path = '']) => path);
    expect(paths.length).toBe(3);
    for (const path of paths) expect(mounts.some((mount) => path.startsWith(`${mount}/`))).toBe(true);
  });

  it('lets only monitoring reach the admin port, and leaves the ERP its own ports', () => {
    const policy = only('deployment', ({ kind }) => kind === 'NetworkPolicy');
    const { ingress } = policy['spec'] as {
      ingress: { from?: unknown; ports: { protocol: string; port: number; endPort?: number }[] }[];
    };
    const open = ingress.filter(({ from }) => from === undefined).flatMap(({ ports }) => ports);
    const isOpen = (port: number) =>
      open.some(({ protocol, port: first, endPort = first }) => protocol === 'TCP' && first <= port && port <= endPort);
    expect([1, 80, 7089, 7090, 7091, 65_535].filter(isOpen)).toEqual([1, 80, 7089, 7091, 65_535]);
    expect(ingress[1]).toMatchObject({ from: [{ namespaceSelector: {} }], ports: [{ protocol: 'TCP', port: 7090 }] });
  });

  it('has metrics read from the admin port, under the name the alerts know', () => {
    const { podMetricsEndpoints } = only('deployment', ({ kind }) => kind === 'PodMonitor')['spec'] as {
      podMetricsEndpoints: {
        port: string;
        path: string;
        relabelings: { targetLabel: string; replacement?: string }[];
      }[];
    };
    expect(podMetricsEndpoints).toEqual([expect.objectContaining({ port: 'aritma-admin', path: '/metrics' })]);
    const job = podMetricsEndpoints[0]?.relabelings.find(({ targetLabel }) => targetLabel === 'job');
    expect(job?.replacement).toBe('aritma-sidecar');
  });

  it('rotates in a pod of its own, with the account that may, a configuration that loads, and time for the overlap', () => {
    const cronJob = only('deployment', ({ kind }) => kind === 'CronJob');
    const pod = podOf(cronJob);
    if (!pod) throw new Error('no pod');
    expect(pod.serviceAccountName).toBe(only('deployment', ({ kind }) => kind === 'ServiceAccount').metadata.name);
    const { config } = configOf('deployment', pod);
    const { rotation } = config.credentials['default'] ?? {};
    expect(rotation?.kubernetes).toMatchObject({ secret: 'aritma-client', key: 'client-secret' });
    const { schedule, concurrencyPolicy, jobTemplate } = cronJob['spec'] as {
      schedule: string;
      concurrencyPolicy: string;
      jobTemplate: { spec: { activeDeadlineSeconds: number } };
    };
    expect([schedule, concurrencyPolicy]).toEqual(['0 3 1 * *', 'Forbid']);
    expect(jobTemplate.spec.activeDeadlineSeconds * 1000).toBeGreaterThan(
      (rotation?.overlap ?? 0) + (rotation?.verifyFor ?? 0),
    );
    expect(sidecarOf(pod).args?.slice(0, 3)).toEqual(['rotate', '--credential', 'default']);
  });
});
