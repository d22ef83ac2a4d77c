/** The output of `kubectl kustomize` for the examples in deploy/kubernetes, and its objects as the API server sees them. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { DEPLOY } from './deployment.ts';

const ROOT = join(import.meta.dirname, '../..');
const FOLDER = join(DEPLOY, 'kubernetes/examples');

export const EXAMPLES = readdirSync(FOLDER).sort();
/** Before 1.21 kubectl has no components, and does not report its version of Kustomize. */
export const canKustomize = /Kustomize Version: v[45]/.test(
  spawnSync('kubectl', ['version', '--client'], { encoding: 'utf8' }).stdout ?? '',
);

type Json = Readonly<Record<string, unknown>>;

export interface Container extends Json {
  readonly name: string;
  readonly image?: string;
  readonly restartPolicy?: string;
  readonly args?: readonly string[];
  readonly env?: readonly { readonly name: string; readonly value: string }[];
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[];
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string; readonly readOnly?: boolean }[];
  readonly resources?: { readonly requests: Json; readonly limits: Json };
}

export interface Volume extends Json {
  readonly name: string;
  readonly secret?: { readonly secretName: string; readonly defaultMode: number; readonly items: readonly Json[] };
  readonly configMap?: { readonly name: string };
  readonly emptyDir?: Json;
}

export interface Pod extends Json {
  readonly automountServiceAccountToken: boolean;
  readonly serviceAccountName?: string;
  readonly initContainers?: readonly Container[];
  readonly containers: readonly Container[];
  readonly volumes: readonly Volume[];
}

export interface Resource extends Json {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly labels?: Json };
  readonly data?: Readonly<Record<string, string>>;
}

/** @throws Error with the message of kubectl */
export function render(example: string): Resource[] {
  const text = execFileSync('kubectl', ['kustomize', join(FOLDER, example)], { encoding: 'utf8' });
  return parseAllDocuments(text).map((document) => document.toJS() as Resource);
}

/** The pod of a workload; CronJobs have it one level deeper. */
export function podOf(resource: Resource): Pod | undefined {
  interface Spec {
    readonly template?: { readonly spec: Pod };
    readonly jobTemplate?: { readonly spec: Spec };
  }
  const spec = resource['spec'] as Spec | undefined;
  return spec?.template?.spec ?? spec?.jobTemplate?.spec.template?.spec;
}

export interface Schemas {
  /** Where the type of a kind is: the words after `import`. */
  typeOf(resource: Resource): string;
}

const OF_OPERATOR =
  "type { IPodMonitor as T } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PodMonitor'";
const GROUPS: Readonly<Record<string, string>> = {
  v1: 'core/v1',
  'networking.k8s.io/v1': 'networking/v1',
  'rbac.authorization.k8s.io/v1': 'rbac/v1',
};

/** Generated from the OpenAPI document that Kubernetes 1.29 publishes. */
export const KUBERNETES_1_29: Schemas = {
  typeOf: ({ apiVersion, kind }) =>
    kind === 'PodMonitor'
      ? OF_OPERATOR
      : `type { ${kind} as T } from 'kubernetes-types/${GROUPS[apiVersion] ?? apiVersion}'`,
};

/** The same for 1.36: it has `schedulingGroup`. */
export const KUBERNETES_1_36: Schemas = {
  typeOf: ({ apiVersion, kind }) =>
    kind === 'PodMonitor' ? OF_OPERATOR : `type { I${kind} as T } from 'kubernetes-models/${apiVersion}/${kind}'`,
};

/**
 * Compile errors of the objects as literals of their types: missing, unknown and mistyped fields, at any depth. Types come
 * from npm, so this needs no cluster and no network.
 */
export function complaints(resources: readonly Resource[], { typeOf }: Schemas): string {
  const cache = join(ROOT, 'node_modules/.cache');
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, 'kubernetes-'));
  try {
    const files = resources.map((resource, index) => {
      const file = join(folder, `${resource.kind}-${index}.ts`);
      // Kubernetes has no nullable fields, and TypeScript does not widen the literals of a constant.
      writeFileSync(
        file,
        `import ${typeOf(resource)};\nexport const object: T = ${JSON.stringify(resource, null, 1)};\n`,
      );
      return file;
    });
    const options = [
      '--noEmit',
      '--strict',
      '--skipLibCheck',
      '--target',
      'es2024',
      '--module',
      'preserve',
      '--types',
      '',
    ];
    const { stdout } = spawnSync(join(ROOT, 'node_modules/.bin/tsc'), ['--ignoreConfig', ...options, ...files], {
      encoding: 'utf8',
    });
    return stdout.trim();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Errors of the JSON schemas of Kubernetes 1.36 (OpenAPI) and of the operator; they accept unknown fields. */
export async function schemaFault({ apiVersion, kind, ...rest }: Resource): Promise<string | undefined> {
  const from = kind === 'PodMonitor' ? '@kubernetes-models/prometheus-operator' : 'kubernetes-models';
  const models = (await import(`${from}/${apiVersion}/${kind}`)) as Record<string, new (data: object) => Model>;
  const Kind = models[kind];
  if (!Kind) throw new Error(`no schema of ${apiVersion} ${kind}`);
  try {
    new Kind(rest).validate();
    return undefined;
  } catch (error) {
    return `${kind}: ${(error as Error).message}`;
  }
}

interface Model {
  /** @throws Error with the place that does not fit */
  validate(): void;
}
