/**
 * The port for probes, Prometheus and operators: people get a page. Never injects a token and never shows one. Web pages of other origins
 * are refused as on the data port; the Host check is left out only where probes come from other machines.
 */
import { createServer, type Server } from 'node:http';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { type ErrorCode, SidecarError } from '../core/errors.ts';
import type { Metrics } from '../core/metrics.ts';
import { toProblem } from '../core/problem.ts';
import { createLive, type Live } from './event-stream.ts';
import { gauges } from './gauges.ts';
import { PAGE_HEADERS, renderMain, renderPage } from './page.ts';
import { readiness, type StatusInput, startedUp, status, type Verdict } from './status.ts';

export interface AdminOptions {
  readonly snapshot: () => StatusInput;
  readonly metrics: Pick<Metrics, 'render' | 'contentType'>;
  /** Resolves when metrics and snapshots have what is over by now; at once by default. */
  readonly settled?: () => Promise<void>;
  /** Drops and refetches the tokens of a credential, all without a name; undefined when there is none of that name. */
  readonly refreshTokens: (credential: string | undefined) => Promise<void> | undefined;
  /** Asks the process to drain and stop. */
  readonly shutdown: () => void;
  /** Exact `Host` values for loopback listeners; filled once the port is known. */
  readonly hosts: ReadonlySet<string>;
}

export interface AdminListenerOptions {
  /** False for listeners that other machines reach: probes address a pod by its IP. */
  readonly checkHost: boolean;
  /** Whether `POST /shutdown` works and the page has buttons. */
  readonly allowActions: boolean;
}

export interface Admin {
  createListener(options: AdminListenerOptions): Server;
  /** Tells the pages that are open, and lets them go. */
  drain(): void;
}

export async function createAdmin(options: AdminOptions): Promise<Admin> {
  const live = createLive({
    render: (actions: boolean) => renderMain(status(options.snapshot()), { actions }),
    headers: PAGE_HEADERS,
  });
  const guarded = await buildApp(options, live);
  return {
    drain: live.drain,
    createListener(listener) {
      return createServer((req, res) => {
        Object.assign(req, { listener });
        guarded.routing(req, res);
      });
    },
  };
}

const NO_COMPILER = () => () => {
  throw new Error('a route of the admin listener has a schema');
};

type Raw = FastifyRequest['raw'] & { listener?: AdminListenerOptions };

async function buildApp(options: AdminOptions, live: Live<boolean>) {
  const app = fastify({
    logger: false,
    bodyLimit: 1024,
    // No route has a schema; their compilers alone would be a tenth of every start.
    schemaController: { compilersFactory: { buildValidator: NO_COMPILER, buildSerializer: NO_COMPILER } },
    // What the router itself cannot read (`/%zz`) comes by no hook and no error handler.
    frameworkErrors: (error, request, reply) => sendProblem(reply, new SidecarError(codeFor(error)), request.id),
  });
  // Nothing here takes a body, so none is parsed whatever its type says.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, payload, done) => {
    payload.resume();
    done(null);
  });
  app.addHook('onRequest', async (request, reply) => {
    reply.header('Cache-Control', 'no-store').header('X-Content-Type-Options', 'nosniff');
    guard(request.raw, options.hosts);
  });
  app.setErrorHandler((error, request, reply) => {
    const own = error instanceof SidecarError ? error : new SidecarError(codeFor(error), { cause: error });
    return sendProblem(reply, own, request.id);
  });
  app.setNotFoundHandler((request, reply) => sendProblem(reply, new SidecarError('ROUTE_NOT_FOUND'), request.id));
  addRoutes(app, options);
  addPage(app, options, live);
  await app.ready();
  return app;
}

function addRoutes(app: FastifyInstance, options: AdminOptions): void {
  const { snapshot, metrics, refreshTokens, shutdown, settled = async () => undefined } = options;
  app.get('/livez', async (_request, reply) => reply.type('text/plain; charset=utf-8').send('ok\n'));
  app.get('/readyz', async (_request, reply) => sendVerdict(reply, readiness(snapshot())));
  app.get('/startupz', async (_request, reply) => sendVerdict(reply, startedUp(snapshot())));
  app.get('/status', async () => settled().then(() => status(snapshot())));
  app.get('/metrics', async (request, reply) => {
    const format = request.headers.accept?.includes('application/openmetrics-text') ? 'openMetrics' : 'text';
    await settled();
    return reply
      .header('Content-Type', metrics.contentType[format])
      .send(await metrics.render(format, gauges(snapshot())));
  });
  app.post<{ Querystring: { credential?: string } }>('/token/refresh', async (request, reply) => {
    const refreshed = refreshTokens(request.query.credential);
    if (refreshed === undefined) throw new SidecarError('ROUTE_NOT_FOUND');
    if (!isForm(request)) return refreshed.then(() => status(snapshot()));
    // The page says what went wrong, and again after a reload, which would send a form a second time.
    return refreshed.catch(() => undefined).then(() => reply.redirect('/', 303));
  });
  app.post('/shutdown', async (request, reply) => {
    if (!mayAct(request)) throw new SidecarError('ROUTE_NOT_ALLOWED');
    reply.raw.once('finish', shutdown);
    return reply.code(202).send({ draining: true });
  });
}

function addPage(app: FastifyInstance, { snapshot }: AdminOptions, live: Live<boolean>): void {
  app.get('/', async (request, reply) =>
    reply.headers(PAGE_HEADERS).send(renderPage(status(snapshot()), { actions: mayAct(request) })),
  );
  app.get('/events', async (request, reply) => {
    if (live.attach(reply.raw, mayAct(request))) return reply.hijack();
    return reply.code(503).header('Retry-After', '5').type('text/plain; charset=utf-8').send('too many listeners\n');
  });
}

function mayAct({ raw }: FastifyRequest): boolean {
  return (raw as Raw).listener?.allowActions === true;
}

/** Browsers ask for HTML when they send a form, programs do not. */
function isForm({ headers }: FastifyRequest): boolean {
  return headers.accept?.includes('text/html') === true;
}

function guard(raw: Raw, hosts: ReadonlySet<string>): void {
  const { host, origin, 'sec-fetch-site': site } = raw.headers;
  if (raw.listener?.checkHost !== false && (host === undefined || !hosts.has(host.toLowerCase()))) {
    throw new SidecarError('CALLER_HOST');
  }
  // A form of a page without referrer names no origin; then the browser itself vouches (Fetch §3.2, Fetch Metadata §2.3).
  const sameOrigin =
    origin === undefined || origin === `http://${host}` || (origin === 'null' && site === 'same-origin');
  const harmless = site === undefined || site === 'none' || site === 'same-origin';
  if (!sameOrigin || !harmless) throw new SidecarError('CALLER_ORIGIN');
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
