/**
 * The admin port for probes, Prometheus and operators, with a page for people. Never injects or shows a token. Refuses
 * web pages of other origins, as the data plane does. Skips the Host check only on listeners for other machines.
 */
import type { IncomingMessage, RequestListener, Server } from 'node:http';
import type { Socket } from 'node:net';
import fastify, {
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type FastifySchemaCompiler,
} from 'fastify';
import { type ZodType, z } from 'zod';
import { type ErrorCode, SidecarError } from '../core/errors.ts';
import type { Metrics } from '../core/metrics.ts';
import { toProblem } from '../core/problem.ts';
import { createReadAhead } from '../core/read-ahead.ts';
import { createLive, type Live } from './event-stream.ts';
import { gauges } from './gauges.ts';
import { PAGE_HEADERS, type PageOptions, renderMain, renderPage } from './page.ts';
import { readiness, startedUp, status, type Verdict } from './status.ts';
import type { StatusInput } from './status-input.ts';
import { addSupport } from './support-route.ts';

export interface AdminOptions {
  readonly snapshot: () => StatusInput;
  readonly metrics: Pick<Metrics, 'render' | 'contentType'>;
  /** Discards and refetches the tokens of a credential, or all without a name; undefined for an unknown name. */
  readonly refreshTokens: (credential: string | undefined) => Promise<void> | undefined;
  /** Makes the process drain and stop. */
  readonly shutdown: () => void;
  /** Makes the support file. @param withDoctor whether the doctor runs first */
  readonly support: (withDoctor: boolean) => Promise<string>;
  /** Accepted `Host` values of loopback listeners; filled when the port is known. */
  readonly hosts: ReadonlySet<string>;
}

export interface AdminListenerOptions {
  /** False for listeners that other machines can reach: probes use the IP of the pod. */
  readonly checkHost: boolean;
  /** Whether `POST /shutdown` works and the page has buttons. */
  readonly allowActions: boolean;
  /** Whether only this machine can reach the listener. */
  readonly isLocal: boolean;
}

export interface Admin {
  /** Creates the server for one address, ready but not listening. */
  createListener(listener: AdminListenerOptions): Promise<Server>;
  /** Sends the last state to open pages and closes them. */
  drain(): void;
}

/** Creates the admin API; it listens once a listener is bound. */
export function createAdmin(options: AdminOptions): Admin {
  const live = createLive({
    render: (page: PageOptions) => renderMain(status(options.snapshot()), page),
    headers: PAGE_HEADERS,
  });
  return {
    drain: live.drain,
    async createListener(listener) {
      const app = createApp({ checkHost: listener.checkHost, hosts: options.hosts });
      const page = { actions: listener.allowActions, support: listener.allowActions && listener.isLocal };
      addRoutes(app, options, listener);
      addSupport(app, { make: options.support, isAllowed: page.support });
      addPage(app, options, { live, page });
      await app.ready();
      return app.server;
    },
  };
}

/** Ms between two requests on a connection, and until a request is complete. */
const KEEP_ALIVE_MS = 5000;
const REQUEST_MS = 60_000;
/** Per connection: each response may be a whole page or all metrics, which the client may never read. */
const MAX_UNFINISHED = 4;

/** Keeps Fastify from loading its schema compilers, a tenth of the startup time: the schemas here are Zod's. */
const NO_COMPILER = () => () => {
  throw new Error('a schema of the admin listener has no compiler');
};

const compileZod: FastifySchemaCompiler<ZodType> =
  ({ schema }) =>
  (input) => {
    const { data, error } = schema.safeParse(input);
    return error ? { error } : { value: data };
  };

function createApp(guarding: Guarding): FastifyInstance {
  const readAhead = createReadAhead();
  const app = fastify({
    logger: false,
    bodyLimit: 1024,
    keepAliveTimeout: KEEP_ALIVE_MS,
    requestTimeout: REQUEST_MS,
    http: readAhead.classes,
    schemaController: { compilersFactory: { buildValidator: NO_COMPILER, buildSerializer: NO_COMPILER } },
    // For paths that the router cannot decode (`/%zz`): they reach neither hooks nor the error handler.
    frameworkErrors: (error, request, reply) => sendProblem(reply, new SidecarError(codeFor(error)), request.id),
  });
  const [serve] = app.server.listeners('request') as RequestListener[];
  if (serve) app.server.removeAllListeners('request').on('request', readAhead.limit(MAX_UNFINISHED, serve));
  // Browsers open connections in advance: one without a request gets no 408.
  app.server.prependListener('clientError', (_error, socket) => {
    if ((socket as Socket).bytesRead === 0) socket.destroy();
  });
  // No route uses a body, so none is parsed, whatever its type.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, payload, done) => {
    payload.resume();
    done(null);
  });
  app.setValidatorCompiler(compileZod);
  app.addHook('onRequest', async (request, reply) => {
    reply.header('Cache-Control', 'no-store').header('X-Content-Type-Options', 'nosniff');
    guard(request, guarding);
  });
  app.setErrorHandler((error, request, reply) => {
    const own = error instanceof SidecarError ? error : new SidecarError(codeFor(error), { cause: error });
    return sendProblem(reply, own, request.id);
  });
  app.setNotFoundHandler((request, reply) => sendProblem(reply, new SidecarError('ROUTE_NOT_FOUND'), request.id));
  return app;
}

const REFRESH_QUERY = z.object({ credential: z.string().optional() });

function addRoutes(app: FastifyInstance, options: AdminOptions, { allowActions }: AdminListenerOptions): void {
  const { snapshot, metrics, refreshTokens, shutdown } = options;
  app.get('/livez', async (_request, reply) => reply.type('text/plain; charset=utf-8').send('ok\n'));
  app.get('/readyz', async (_request, reply) => sendVerdict(reply, readiness(snapshot())));
  app.get('/startupz', async (_request, reply) => sendVerdict(reply, startedUp(snapshot())));
  app.get('/status', async () => status(snapshot()));
  app.get('/metrics', async (request, reply) => {
    const format = request.headers.accept?.includes('application/openmetrics-text') ? 'openMetrics' : 'text';
    return reply
      .header('Content-Type', metrics.contentType[format])
      .send(await metrics.render(format, gauges(snapshot())));
  });
  const refresh = { schema: { querystring: REFRESH_QUERY }, attachValidation: true };
  app.post<{ Querystring: z.infer<typeof REFRESH_QUERY> }>('/token/refresh', refresh, async (request, reply) => {
    // An invalid name is an unknown name.
    const refreshed = request.validationError ? undefined : refreshTokens(request.query.credential);
    if (refreshed === undefined) throw unknownCredential(snapshot());
    if (!isForm(request)) return refreshed.then(() => status(snapshot()));
    // A redirect, so that a reload does not send the form again; the page shows any error.
    return refreshed.catch(() => undefined).then(() => reply.redirect('/', 303));
  });
  app.post('/shutdown', async (_request, reply) => {
    if (!allowActions) throw new SidecarError('ROUTE_NOT_ALLOWED');
    reply.raw.once('finish', shutdown);
    return reply.code(202).send({ draining: true });
  });
}

const MAX_NAMES = 20;

/** Lists the known names, which `/status` also shows. */
function unknownCredential({ tokens }: StatusInput): SidecarError {
  const names = [...new Set(tokens.map(({ key }) => key.credential))];
  const more = names.length > MAX_NAMES ? ` and ${names.length - MAX_NAMES} more` : '';
  const failure = {
    cause: 'unknown_credential',
    host: '',
    message: `no route uses a credential with this name; used: ${names.slice(0, MAX_NAMES).join(', ') || 'none'}${more}`,
    fix: 'correct `credential` in the query, or omit it to refresh all',
  };
  return new SidecarError('ROUTE_NOT_FOUND', { failure });
}

interface Page {
  readonly live: Live<PageOptions>;
  readonly page: PageOptions;
}

function addPage(app: FastifyInstance, { snapshot }: AdminOptions, { live, page }: Page): void {
  app.get('/', async (_request, reply) => reply.headers(PAGE_HEADERS).send(renderPage(status(snapshot()), page)));
  app.get('/events', async (_request, reply) => {
    if (live.attach(reply.raw, page)) return reply.hijack();
    return reply.code(503).header('Retry-After', '5').type('text/plain; charset=utf-8').send('too many listeners\n');
  });
}

/** A browser that sends a form accepts HTML; programs do not. */
function isForm({ headers }: FastifyRequest): boolean {
  return headers.accept?.includes('text/html') === true;
}

interface Guarding extends Pick<AdminListenerOptions, 'checkHost'> {
  readonly hosts: ReadonlySet<string>;
}

/** @throws SidecarError CALLER_REQUEST_INVALID | CALLER_HOST | CALLER_ORIGIN */
function guard({ raw }: FastifyRequest, { checkHost, hosts }: Guarding): void {
  const named = namesOf(raw);
  if (checkHost && !named.every((name) => hosts.has(name.toLowerCase()))) throw new SidecarError('CALLER_HOST');
  const { origin, referer, 'sec-fetch-site': site } = raw.headers;
  const own = named.map((name) => URL.parse(`http://${name}`)?.origin);
  const isOwn = (page: string) => own.includes(URL.parse(page)?.origin);
  // A form of a page without referrer has `Origin: null`; then Sec-Fetch-Site decides (Fetch §3.2, Fetch Metadata
  // §2.3).
  const vouched = origin === 'null' && site === 'same-origin';
  const harmless = site === undefined || site === 'none' || site === 'same-origin';
  // Old browsers send no Origin with a form, only Referer.
  const byPage = origin === undefined && raw.method !== 'GET' && raw.method !== 'HEAD' ? referer : origin;
  if (!harmless || (byPage !== undefined && !isOwn(byPage) && !vouched)) throw new SidecarError('CALLER_ORIGIN');
}

const HOST = /^(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/;
const ABSOLUTE = /^http:\/\/([^/?#@\\]+)(?:[/?]|$)/i;

/**
 * Returns the names by which the request addresses the sidecar: from Host, and from an absolute target (RFC 9112 §3.2).
 * HTTP/1.0 probes (HAProxy, Nagios) omit Host; that is safe against DNS rebinding, because no browser uses HTTP/1.0.
 */
function namesOf({ rawHeaders, httpVersion, url = '' }: IncomingMessage): string[] {
  const lines = rawHeaders.filter((_, index) => index % 2 === 1 && /^host$/i.test(rawHeaders[index - 1] ?? ''));
  const [, authority] = ABSOLUTE.exec(url) ?? [];
  const names = authority === undefined ? lines : [...lines, authority];
  const isMissing = lines.length === 0 && httpVersion !== '1.0';
  const isTarget = url.startsWith('/') || authority !== undefined;
  if (lines.length > 1 || isMissing || !isTarget || !names.every((name) => HOST.test(name)))
    throw new SidecarError('CALLER_REQUEST_INVALID');
  return names;
}

function codeFor(error: unknown): ErrorCode {
  const { statusCode } = error as { statusCode?: number };
  return statusCode !== undefined && statusCode < 500 ? 'CALLER_REQUEST_INVALID' : 'SIDECAR_INTERNAL';
}

function sendVerdict(reply: FastifyReply, { ok, body }: Verdict): FastifyReply {
  return reply.code(ok ? 200 : 503).send(body);
}

function sendProblem(reply: FastifyReply, error: SidecarError, requestId: string): FastifyReply {
  const problem = toProblem(error, requestId);
  return reply.code(problem.status).headers(problem.headers).send(problem.body);
}
