/**
 * A Kubernetes API server over real TLS sockets, for Secrets only: bearer tokens, RBAC by verb and name, media types,
 * Status objects, its own clock, and faults before or after a request takes effect.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Issued } from './certificates.ts';
import { asRecord, createSecrets, type Outcome, type Status, status } from './kubernetes-secrets.ts';

/** As in a Role; the namespace is that of the Role. */
export interface Rule {
  readonly namespace: string;
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}

/** A status is sent without effect. `late`: nothing happens until `deliver()`, after the client is gone. */
export interface Fault {
  readonly verb: string;
  readonly what: number | 'reset' | 'reset-after' | 'silence' | 'silence-after' | 'late';
  readonly retryAfter?: string;
  readonly times?: number;
}

export interface Call {
  readonly verb: string;
  readonly path: string;
  readonly token: string;
  readonly contentType: string | undefined;
  readonly body: string;
  /** 0 = no response was sent. */
  status: number;
}

export type KubernetesApiDouble = Awaited<ReturnType<typeof startKubernetesApi>>;

const MERGE_PATCH = 'application/merge-patch+json';

export async function startKubernetesApi(certificate: Issued, rules: readonly Rule[]) {
  const secrets = createSecrets();
  const world = {
    secrets,
    rules: [...rules],
    /** Accepted tokens. */
    tokens: new Set<string>(),
    /** Its own clock, epoch ms. */
    nowMs: Date.UTC(2026, 5, 1),
    calls: [] as Call[],
    faults: [] as Fault[],
    /** Runs once, after the next read has its response: another controller, between read and write. */
    afterRead: [] as (() => void)[],
    late: [] as (() => Reply)[],
    /** Called when a call will get no response, so that no test waits for one. */
    onSilence: (() => undefined) as () => void,
    /** Responds to everything instead of the API. */
    impostor: undefined as ((res: ServerResponse) => void) | undefined,
    /** From this request number on, from 0, there are no responses; that request may still take effect. */
    cut: undefined as { readonly from: number; readonly when: 'before' | 'after' } | undefined,
  };
  const server = createServer({ cert: certificate.cert, key: certificate.key }, (req, res) => {
    answer(world, req, res).catch((error: Error) => res.writeHead(500).end(error.message));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return Object.assign(world, {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    verbs: () => new Set(world.calls.map(({ verb }) => verb)),
    /** Carries out the late request and returns its status. */
    deliver: () => world.late.splice(0).map((run) => run().code),
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  });
}

interface World {
  readonly secrets: ReturnType<typeof createSecrets>;
  readonly rules: readonly Rule[];
  readonly tokens: ReadonlySet<string>;
  readonly nowMs: number;
  readonly calls: Call[];
  readonly faults: Fault[];
  readonly afterRead: (() => void)[];
  readonly late: (() => Reply)[];
  readonly onSilence: () => void;
  readonly impostor: ((res: ServerResponse) => void) | undefined;
  readonly cut: { readonly from: number; readonly when: 'before' | 'after' } | undefined;
}

interface Reply {
  readonly code: number;
  readonly body: unknown;
  readonly retryAfter?: string | undefined;
}

async function answer(world: World, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of req) chunks.push(chunk as Buffer);
  const target = targetOf(req);
  const { authorization = '', 'content-type': contentType } = req.headers;
  const body = Buffer.concat(chunks).toString();
  const call: Call = { ...target, token: authorization.replace(/^Bearer /, ''), contentType, body, status: 0 };
  world.calls.push(call);
  if (world.impostor) return world.impostor(res);
  if (world.cut && world.calls.length > world.cut.from) {
    if (world.cut.when === 'after' && world.calls.length - 1 === world.cut.from) handle(world, target, call);
    return void res.socket?.destroy();
  }
  const fault = takeFault(world, target.verb);
  if (fault?.what === 'reset') return void res.socket?.destroy();
  if (fault?.what === 'silence') return world.onSilence();
  if (fault?.what === 'late') {
    world.late.push(() => handle(world, target, call));
    return world.onSilence();
  }
  const reply: Reply =
    typeof fault?.what === 'number'
      ? { ...asReply(status(fault.what, 'InternalError', 'planted fault')), retryAfter: fault.retryAfter }
      : handle(world, target, call);
  if (fault?.what === 'reset-after') return void res.socket?.destroy();
  if (fault?.what === 'silence-after') return world.onSilence();
  call.status = reply.code;
  res.setHeader('date', new Date(world.nowMs).toUTCString()).setHeader('content-type', 'application/json');
  if (reply.retryAfter !== undefined) res.setHeader('retry-after', reply.retryAfter);
  res.writeHead(reply.code).end(JSON.stringify(reply.body));
  if (target.verb === 'get' && reply.code === 200) world.afterRead.shift()?.();
}

function takeFault({ faults }: World, verb: string): Fault | undefined {
  const at = faults.findIndex((fault) => fault.verb === verb);
  const fault = faults[at];
  if (!fault) return undefined;
  const left = (fault.times ?? 1) - 1;
  faults.splice(at, 1, ...(left > 0 ? [{ ...fault, times: left }] : []));
  return fault;
}

interface Target {
  readonly path: string;
  readonly verb: string;
  readonly namespace: string;
  readonly name: string;
  /** Whether the path belongs to the API. */
  readonly known: boolean;
}

function targetOf(req: IncomingMessage): Target {
  const url = new URL(req.url ?? '/', 'https://kubernetes.default.svc');
  const parts = /^\/api\/v1\/namespaces\/([^/]+)\/secrets(?:\/([^/]+))?$/.exec(url.pathname);
  const name = decodeURIComponent(parts?.[2] ?? '');
  const reading = url.searchParams.has('watch') ? 'watch' : name === '' ? 'list' : 'get';
  const verbs: Readonly<Record<string, string>> = { GET: reading, POST: 'create', PUT: 'update', PATCH: 'patch' };
  const verb = verbs[req.method ?? ''] ?? String(req.method).toLowerCase();
  return { path: url.pathname, verb, namespace: decodeURIComponent(parts?.[1] ?? ''), name, known: parts !== null };
}

/** Checks in the order of the real one: identity, permission, existence, media type, validity. */
function handle(world: World, target: Target, { token, contentType, body }: Call): Reply {
  const { verb, namespace, name } = target;
  if (!world.tokens.has(token)) return asReply(status(401, 'Unauthorized', 'Unauthorized'));
  if (!isAllowed(world.rules, target)) {
    const what = `cannot ${verb} resource "secrets" in API group "" in the namespace "${namespace}"`;
    return asReply(status(403, 'Forbidden', `secrets "${name}" is forbidden: User "system:serviceaccount" ${what}`));
  }
  if (!target.known) return asReply(status(404, 'NotFound', 'the server could not find the requested resource'));
  const id = `${namespace}/${name}`;
  if (verb === 'get') {
    const object = world.secrets.find(id);
    return object ? { code: 200, body: object } : asReply(status(404, 'NotFound', `secrets "${name}" not found`));
  }
  if (verb !== 'patch' && verb !== 'update') return asReply(status(405, 'MethodNotAllowed', 'not supported here'));
  if (contentType !== (verb === 'patch' ? MERGE_PATCH : 'application/json')) {
    return asReply(status(415, 'UnsupportedMediaType', 'the body of the request was in an unknown format'));
  }
  const json = parse(body);
  if (!json) return asReply(status(400, 'BadRequest', `cannot be parsed: ${body}`));
  return asReply(verb === 'patch' ? world.secrets.patch(id, json) : world.secrets.replace(id, json));
}

function isAllowed(rules: readonly Rule[], { verb, namespace, name, known }: Target): boolean {
  return rules.some(
    (rule) =>
      known &&
      rule.namespace === namespace &&
      rule.apiGroups.includes('') &&
      rule.resources.includes('secrets') &&
      rule.verbs.includes(verb) &&
      (rule.resourceNames === undefined || rule.resourceNames.includes(name)),
  );
}

function asReply(outcome: Outcome | Status): Reply {
  return 'object' in outcome ? { code: 200, body: outcome.object } : { code: outcome.code, body: outcome };
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return value === null || typeof value !== 'object' || Array.isArray(value) ? undefined : asRecord(value);
  } catch {
    return undefined;
  }
}
