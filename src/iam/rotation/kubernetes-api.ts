/**
 * Reads and changes one Kubernetes Secret through the API server, as the pod's service account. Hides where token and
 * CA come from, deadlines and size bounds. Promises that no error holds a token or any content of a Secret.
 */
import { join } from 'node:path';
import { buildConnector, type Dispatcher, Pool } from 'undici';
import { SidecarError } from '../../core/errors.ts';
import { parseCertificates } from '../../core/pem.ts';
import { Secret } from '../../core/secret.ts';
import { type BoundedRequest, parseObject, sendBounded } from '../../net/bounded-request.ts';
import { readText } from './durable-file.ts';

export interface KubernetesApiOptions {
  readonly secret: string;
  /** Default: the pod's namespace. */
  readonly namespace?: string | undefined;
  /** `https://10.96.0.1:443`. */
  readonly apiServer: string;
  /** Holds `token`, `ca.crt` and `namespace`. */
  readonly serviceAccountDir: string;
  /** ms for one request, from connecting to the last byte. */
  readonly deadlineMs: number;
}

export interface KubernetesSecret {
  /** Different after every change of the object. */
  readonly resourceVersion: string;
  readonly immutable: boolean;
  readonly annotations: Readonly<Record<string, unknown>>;
  /** Base64. */
  readonly data: Readonly<Record<string, unknown>>;
  /** Time of the response by the API server's clock, epoch ms; NaN without a `Date` header. */
  readonly saidAt: number;
}

/** Keys that are not named stay unchanged; null removes a key. */
export interface SecretChange {
  readonly annotations?: Readonly<Record<string, string | null>>;
  readonly data?: Readonly<Record<string, string>>;
}

/** `unavailable`: the change may or may not have happened. */
export type ApiResponse =
  | { readonly kind: 'done'; readonly secret: KubernetesSecret }
  | { readonly kind: 'conflict' }
  | { readonly kind: 'unavailable'; readonly retryAfterMs: number; readonly error: SidecarError };

/** `get` and `patch` throw SidecarError ROTATION_STORE_FAILED for failures that a retry does not solve. */
export interface KubernetesApi {
  get(): Promise<ApiResponse>;
  /** Changes the object only if it still has that version; else returns `conflict`. */
  patch(resourceVersion: string, change: SecretChange): Promise<ApiResponse>;
  close(): Promise<void>;
}

/** A Secret has at most 1 MiB, a third more in base64; the rest is for metadata. */
const MAX_BODY_BYTES = 3 * 1024 * 1024;

/**
 * Creates the client. It uses PATCH, not PUT: a merge patch (RFC 7396) holds only our keys, so it cannot overwrite
 * other keys with old values, and fields of later API versions survive. `metadata.resourceVersion` in the patch makes
 * the server refuse it if the object has changed since it was read.
 */
export function createKubernetesApi(options: KubernetesApiOptions): KubernetesApi {
  const inDir = (name: string) => join(options.serviceAccountDir, name);
  // No proxy: HTTPS_PROXY is for traffic that leaves the cluster.
  const pool = new Pool(options.apiServer, {
    connections: 2,
    allowH2: false,
    pipelining: 1,
    connect: trusting(inDir('ca.crt'), options.deadlineMs),
  });
  const send = async (request: Pick<ApiRequest, 'verb' | 'body'>) => {
    const namespace = options.namespace ?? (await readMounted(inDir('namespace'))).trim();
    const whole = { ...request, namespace, secret: options.secret, deadlineMs: options.deadlineMs };
    // Read for each request: the kubelet replaces the token long before it expires.
    const token = await readToken(inDir('token'));
    const response = await exchange(pool, whole, token);
    if (response.status !== 401) return judge(whole, response);
    const other = await readToken(inDir('token'));
    return judge(whole, other.fingerprint() === token.fingerprint() ? response : await exchange(pool, whole, other));
  };
  return {
    // Without a resourceVersion in the query, a read returns the newest object, not one from a cache.
    get: () => send({ verb: 'get' }),
    patch: (resourceVersion, { annotations, data }) =>
      send({
        verb: 'patch',
        body: { metadata: { resourceVersion, ...(annotations && { annotations }) }, ...(data && { data }) },
      }),
    close: () => pool.destroy(),
  };
}

interface ApiRequest {
  /** The verb in RBAC rules. */
  readonly verb: 'get' | 'patch';
  readonly body?: unknown;
  readonly namespace: string;
  readonly secret: string;
  readonly deadlineMs: number;
}

/** Reads the CA for each connection, so that a replaced CA takes effect. */
function trusting(caFile: string, timeout: number): buildConnector.connector {
  return (options, done) => {
    readCa(caFile).then(
      (ca) => buildConnector({ ca, timeout, allowH2: false })(options, done),
      (error: Error) => done(error, null),
    );
  };
}

async function readCa(file: string): Promise<string> {
  const text = await readMounted(file);
  try {
    return parseCertificates(text, 'ca').pem;
  } catch (error) {
    const reason = (error as Error).message;
    throw new SidecarError('ROTATION_STORE_FAILED', { fields: { doing: 'read', file, reason } });
  }
}

async function readMounted(file: string): Promise<string> {
  const text = await readText(file);
  if (text !== undefined) return text;
  const reason = 'no service account is mounted: run in a pod, and without automountServiceAccountToken: false';
  throw new SidecarError('ROTATION_STORE_FAILED', { fields: { doing: 'read', file, errno: 'ENOENT', reason } });
}

async function readToken(file: string): Promise<Secret> {
  const text = (await readMounted(file)).trim();
  // The HTTP client would refuse anything else with an unclear error.
  if (/^[\w.~+/=-]+$/.test(text)) return new Secret(text);
  throw new SidecarError('ROTATION_STORE_FAILED', {
    fields: { doing: 'read', file, reason: 'the file holds no token' },
  });
}

interface RawResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  /** Set when there is no response. */
  readonly failure?: SidecarError;
}

async function exchange(pool: Dispatcher, request: ApiRequest, token: Secret): Promise<RawResponse> {
  const outcome = await sendBounded(pool, httpRequest(request, token));
  if (outcome.response) {
    const { status, headers, body: text } = outcome.response;
    if (outcome.tooLarge) throw failed(request, { status, reason: 'the response is larger than any Secret' });
    return { status, headers, text };
  }
  if (outcome.failed instanceof SidecarError) throw outcome.failed;
  const errno = outcome.isLate ? 'timeout' : String(outcome.failed.code);
  // A retry does not make a certificate valid.
  if (/CERT|VERIFY|ERR_TLS/.test(errno)) throw failed(request, { errno }, outcome.failed);
  return broken(request, errno, outcome.failed);
}

function httpRequest({ verb, namespace, secret, body, deadlineMs }: ApiRequest, token: Secret): BoundedRequest {
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/secrets/${encodeURIComponent(secret)}`;
  return {
    method: verb === 'get' ? 'GET' : 'PATCH',
    // Kubernetes records in managedFields who changed what, by this name.
    path: verb === 'get' ? path : `${path}?fieldManager=aritma-sidecar`,
    headers: {
      authorization: `Bearer ${token.reveal()}`,
      accept: 'application/json',
      'user-agent': 'aritma-sidecar',
      ...(body !== undefined && { 'content-type': 'application/merge-patch+json' }),
    },
    body: body === undefined ? undefined : JSON.stringify(body),
    ...{ deadlineMs, maxBytes: MAX_BODY_BYTES },
  };
}

function judge(request: ApiRequest, { status, headers, text, failure }: RawResponse): ApiResponse {
  if (failure) return { kind: 'unavailable', retryAfterMs: 0, error: failure };
  const json = parseObject(text);
  if (status >= 200 && status < 300) {
    const saidAt = Date.parse(String(headers['date']));
    const secret = json && asKubernetesSecret(json, saidAt);
    if (secret) return { kind: 'done', secret };
    throw failed(request, { status, reason: 'the response is not a Secret, so it is not from the API server' });
  }
  // Use only the reason of a Status: its message may quote what was sent.
  const { reason } = json ?? {};
  const said = typeof reason === 'string' && /^[A-Za-z]{1,40}$/.test(reason) ? reason : '';
  if (status === 409) return { kind: 'conflict' };
  if (status === 408 || status === 429 || status >= 500) {
    const error = failed(request, { status, reason: said || 'the API server is overloaded or fails' });
    return { kind: 'unavailable', retryAfterMs: retryAfterMs(headers['retry-after']), error };
  }
  throw failed(request, { status, reason: explain(request, status) ?? said });
}

function explain({ verb, namespace, secret }: ApiRequest, status: number): string | undefined {
  if (status === 401) return 'the API server refuses the token of the service account';
  if (status === 403) return `RBAC must allow ${verb} on secrets, resourceNames [${secret}], in namespace ${namespace}`;
  if (status === 404) return 'the Secret does not exist: create it with the current client secret';
  if (status === 422)
    return 'the API server refuses the change as invalid: is the Secret immutable, or larger than 1 MiB?';
  return status < 400 ? 'a redirect; redirects are not followed' : undefined;
}

function asKubernetesSecret(json: Readonly<Record<string, unknown>>, saidAt: number): KubernetesSecret | undefined {
  const { resourceVersion, annotations } = record(json['metadata']);
  if (json['kind'] !== 'Secret' || typeof resourceVersion !== 'string' || resourceVersion === '') return undefined;
  const immutable = json['immutable'] === true;
  return { resourceVersion, immutable, annotations: record(annotations), data: record(json['data']), saidAt };
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}

function broken(request: ApiRequest, errno: string, cause?: unknown): RawResponse {
  return { status: 0, headers: {}, text: '', failure: failed(request, { errno }, cause) };
}

/** Includes `verb`, `resource`, `namespace` and `secret`: a Role has to name them. */
function failed(
  { verb, namespace, secret }: ApiRequest,
  evidence: Readonly<Record<string, string | number>>,
  cause?: unknown,
): SidecarError {
  const fields = { doing: verb === 'get' ? 'read' : 'change', verb, resource: 'secrets', namespace, secret };
  return new SidecarError('ROTATION_STORE_FAILED', { fields: { ...fields, ...evidence }, cause });
}

/** The API server sends `Retry-After` in seconds. */
function retryAfterMs(value: string | string[] | undefined): number {
  return typeof value === 'string' && /^\d{1,6}$/.test(value) ? Number(value) * 1000 : 0;
}
