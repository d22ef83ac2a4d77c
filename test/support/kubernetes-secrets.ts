/**
 * The rules of a Kubernetes API server for Secrets, without HTTP: versions, preconditions, merge patches (RFC 7396),
 * immutability, base64, sizes. A refusal is returned as a Status.
 */
import { randomUUID } from 'node:crypto';

export interface SecretObject {
  readonly kind: 'Secret';
  readonly apiVersion: 'v1';
  metadata: Metadata;
  type: string;
  immutable?: boolean;
  data?: Record<string, string>;
}

export interface Metadata {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  resourceVersion: string;
  readonly creationTimestamp: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  managedFields?: unknown;
}

export interface Status {
  readonly kind: 'Status';
  readonly apiVersion: 'v1';
  readonly metadata: Readonly<Record<string, never>>;
  readonly status: 'Failure';
  readonly message: string;
  readonly reason: string;
  readonly code: number;
}

export type Outcome = { readonly object: SecretObject } | Status;

type Json = Record<string, unknown>;

const KEY = /^[-._a-zA-Z0-9]{1,253}$/;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const ANNOTATION = /^(?:[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?\/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const MAX_DATA_BYTES = 1024 * 1024;
const MAX_ANNOTATION_BYTES = 256 * 1024;

export function status(code: number, reason: string, message: string): Status {
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, reason, code };
}

/** Objects of one cluster, with etcd's single counter for all of them. */
export function createSecrets() {
  const objects = new Map<string, SecretObject>();
  let revision = 4711;

  const find = (id: string) => {
    const found = objects.get(id);
    return found ? structuredClone(found) : undefined;
  };

  function store(id: string, wanted: SecretObject): SecretObject {
    const old = objects.get(id);
    // A write that changes nothing keeps the version.
    const same = old && comparable(old) === comparable(wanted);
    revision += same ? 0 : 1;
    const kept = structuredClone(wanted);
    kept.metadata.resourceVersion = same ? old.metadata.resourceVersion : String(revision);
    kept.metadata.managedFields = [{ manager: 'aritma-sidecar', operation: 'Update', fieldsType: 'FieldsV1' }];
    objects.set(id, kept);
    return structuredClone(kept);
  }

  function update(id: string, body: Json, verb: 'update' | 'patch'): Outcome {
    const old = objects.get(id);
    if (!old) return status(404, 'NotFound', `secrets "${id.replace(/^.*\//, '')}" not found`);
    const metadata = asRecord(body['metadata']);
    if (metadata['uid'] !== undefined && metadata['uid'] !== old.metadata.uid)
      return conflict(old, 'UID in precondition');
    const version = metadata['resourceVersion'];
    // Without a resourceVersion, a Secret may be changed whatever its version.
    if (version !== undefined && version !== '' && version !== old.metadata.resourceVersion) {
      return conflict(
        old,
        'the object has been modified; please apply your changes to the latest version and try again',
      );
    }
    if (metadata['name'] !== undefined && metadata['name'] !== old.metadata.name) {
      return status(400, 'BadRequest', 'the name of the object does not match the name on the URL');
    }
    const data = { ...asRecord(body['data']), ...encoded(asRecord(body['stringData'])) };
    const problem = invalid({ body, data, metadata, old }, verb);
    if (problem) return problem;
    const wanted: SecretObject = {
      kind: 'Secret',
      apiVersion: 'v1',
      metadata: {
        ...old.metadata,
        labels: asRecord(metadata['labels']) as Record<string, string>,
        annotations: asRecord(metadata['annotations']) as Record<string, string>,
      },
      type: old.type,
      ...(body['immutable'] === true && { immutable: true }),
      data: data as Record<string, string>,
    };
    return { object: store(id, wanted) };
  }

  return {
    find,
    create(namespace: string, name: string, data: Readonly<Record<string, string>>): void {
      const metadata = {
        name,
        namespace,
        uid: randomUUID(),
        resourceVersion: '',
        creationTimestamp: '2026-01-01T00:00:00Z',
      };
      store(`${namespace}/${name}`, {
        kind: 'Secret',
        apiVersion: 'v1',
        metadata,
        type: 'Opaque',
        data: encoded(data),
      });
    },
    replace: (id: string, body: Json) => update(id, body, 'update'),
    patch(id: string, body: Json): Outcome {
      const old = find(id);
      return update(id, (old ? mergePatch(old, body) : body) as Json, 'patch');
    },
    remove: (id: string) => objects.delete(id),
    /** Changes it as a user with every permission. */
    edit(id: string, change: (object: SecretObject) => void): void {
      const object = find(id);
      if (!object) throw new Error(`${id} is not there`);
      change(object);
      store(id, object);
    },
  };
}

interface Proposal {
  readonly body: Json;
  readonly data: Json;
  readonly metadata: Json;
  readonly old: SecretObject;
}

function invalid({ body, data, metadata, old }: Proposal, verb: 'update' | 'patch'): Status | undefined {
  if (body['kind'] !== 'Secret' || body['apiVersion'] !== 'v1') {
    return status(400, 'BadRequest', 'the object provided is unrecognized');
  }
  for (const value of Object.values(data)) {
    if (typeof value === 'string' && BASE64.test(value)) continue;
    // As the real one does for a patch: the message quotes all of it, including secrets.
    return verb === 'patch'
      ? status(422, 'Invalid', `patch: Invalid value: ${JSON.stringify(JSON.stringify(body))}: illegal base64 data`)
      : status(400, 'BadRequest', 'Secret in version "v1" cannot be handled as a Secret: illegal base64 data');
  }
  const annotations = asRecord(metadata['annotations']);
  const isSame = JSON.stringify(sorted(data)) === JSON.stringify(sorted(old.data ?? {}));
  const problems = [
    Object.keys(data).every((key) => KEY.test(key)) || 'data: a key is not valid',
    bytesOf(data) <= MAX_DATA_BYTES || 'data: Too long: may not be more than 1048576 bytes',
    Object.keys(annotations).every((name) => ANNOTATION.test(name)) || 'metadata.annotations: a name is not valid',
    Object.values(annotations).every((value) => typeof value === 'string') || 'metadata.annotations: not a string',
    JSON.stringify(annotations).length <= MAX_ANNOTATION_BYTES || 'metadata.annotations: Too long',
    !old.immutable || isSame || 'data: Forbidden: field is immutable when `immutable` is set',
    !old.immutable || body['immutable'] === true || 'immutable: Forbidden: field is immutable when `immutable` is set',
    (body['type'] ?? old.type) === old.type || 'type: field is immutable',
  ].filter((problem) => typeof problem === 'string');
  return problems[0] === undefined ? undefined : status(422, 'Invalid', `Secret is invalid: ${problems.join(', ')}`);
}

function conflict({ metadata }: SecretObject, why: string): Status {
  return status(409, 'Conflict', `Operation cannot be fulfilled on secrets "${metadata.name}": ${why}`);
}

/** RFC 7396. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const merged: Json = { ...asRecord(target) };
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete merged[name];
    else merged[name] = mergePatch(merged[name], value);
  }
  return merged;
}

const comparable = ({ metadata, ...rest }: SecretObject) =>
  JSON.stringify([
    sorted(metadata.labels ?? {}),
    sorted(metadata.annotations ?? {}),
    rest.immutable ?? false,
    rest.type,
    sorted(rest.data ?? {}),
  ]);
const sorted = (record: Json) => Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1));
const bytesOf = (data: Json) =>
  Object.values(data).reduce((sum: number, value) => sum + Buffer.from(String(value), 'base64').length, 0);
const encoded = (data: Json) =>
  Object.fromEntries(Object.entries(data).map(([key, text]) => [key, Buffer.from(String(text)).toString('base64')]));

export function asRecord(value: unknown): Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {};
}
