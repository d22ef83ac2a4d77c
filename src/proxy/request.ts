/**
 * The life of one request, step by step: it waits for the request before it on its connection, passes the gate, gets its
 * token, is forwarded and recorded. The only place where a failure becomes a response.
 */
import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { TLSSocket } from 'node:tls';
import { SidecarError } from '../core/errors.ts';
import { toProblem } from '../core/problem.ts';
import { isIgnored } from '../core/read-ahead.ts';
import type { RequestTrace } from '../core/tracing.ts';
import type { Token } from '../oauth/token.ts';
import type { RequestLine } from './admission.ts';
import { conclude, endTrail, intend } from './audit-trail.ts';
import { Exchange, type Gate, type Outcome, type ProxyContext, record } from './exchange.ts';
import { forward } from './forward.ts';
import { countForward } from './headers.ts';
import { type Begin, certificateOf } from './http-server.ts';
import { lingerForBody } from './lingering-close.ts';
import { checkAnnounced, receiveBody } from './request-body.ts';
import { outOfTime, type Route } from './route.ts';
import { asUpgrade, UpgradeResponse } from './upgrade.ts';

/** Pipelined requests of one connection: the one after so many is the last, and the connection closes (RFC 9112 §9.3.2). */
const MAX_AHEAD = 128;
/** The same limit while more than `MANY_IN_FLIGHT` requests run: each waiting request takes memory. */
const FEW_AHEAD = 8;
const MANY_IN_FLIGHT = 512;

/**
 * Returns the function that serves each request.
 * @example
 * createServer().on('request', serveRequests(context));
 */
export function serveRequests(context: ProxyContext): Begin {
  return (req, res, expectsContinue = false) => {
    if (isIgnored(req)) return;
    const exchange = new Exchange(context, req, res);
    const { head } = exchange;
    // Basic may authenticate the caller to the sidecar; any other scheme was meant for the API and is dropped.
    if (head.authorizations.some((value) => !/^basic /i.test(value))) context.metrics.authorizationDropped();
    const before = context.connections.began(res);
    context.metrics.inFlight(1);
    const isLast = isCutShort(exchange) || (before !== undefined && isTooFar(exchange));
    if (isLast) context.readAhead.stop(req.socket);
    if (isLast || context.draining) res.shouldKeepAlive = false;
    if (hasBody(exchange)) lingerForBody(req, res);
    res.on('close', () => close(exchange));
    context.connections.start(() =>
      inTurn(exchange, before, expectsContinue).catch((thrown: unknown) => fail(exchange, thrown)),
    );
  };
}

/**
 * Whether Node loses bytes after this request. A request with `Upgrade` that Node does not detach (it has a body, or follows
 * an unfinished request) is served normally, but Node 24 to 26 drop bytes after it in the same packet. The remaining bytes
 * must not be parsed as a request, so this one is the last on its connection.
 */
function isCutShort({ head, res }: Exchange): boolean {
  return head.offersUpgrade && !(res instanceof UpgradeResponse);
}

function isTooFar({ context, req }: Exchange): boolean {
  const { unfinished, inFlight } = context.connections;
  const ahead = unfinished(req.socket).length;
  return ahead > MAX_AHEAD || (ahead > FEW_AHEAD && inFlight() > MANY_IN_FLIGHT);
}

function hasBody({ head }: Exchange): boolean {
  return head.contentLength !== undefined || head.transferEncoding !== undefined;
}

function close(exchange: Exchange): void {
  const { context, res } = exchange;
  context.metrics.inFlight(-1);
  const outcome = record(exchange);
  if (exchange.digest) endTrail(exchange, outcome);
  // Only of a recorded call are the facts of use.
  if (exchange.trace?.ids) endTrace(exchange, exchange.trace, outcome);
  exchange.attempt?.callerClosed();
  exchange.leave?.();
  exchange.gate?.release();
  context.connections.ended(res);
}

function endTrace({ req, route }: Exchange, trace: RequestTrace, outcome: Outcome): void {
  const { localAddress, localPort } = req.socket;
  trace.ends({
    method: req.method ?? '',
    route: route?.path,
    upstream: route?.place.target,
    local: localAddress && `${localAddress}:${localPort}`,
    secure: req.socket instanceof TLSSocket,
    httpVersion: req.httpVersion,
    status: outcome.status,
    code: outcome.code,
  });
}

/** Starts a request after the one before it: the next payment must not start before the outcome of the last is known. */
function inTurn(exchange: Exchange, before: ServerResponse | undefined, expectsContinue: boolean): Promise<void> {
  if (before === undefined) return enter(exchange, expectsContinue);
  return afterClose(before).then(() => {
    // The connection closes after that response, so later requests on it are ignored (RFC 9112 §9.6).
    if (!before.shouldKeepAlive) throw new SidecarError('CALLER_ABORTED');
    return enter(exchange, expectsContinue);
  });
}

/** Responses leave in the order of their requests (RFC 9112 §9.3.2). */
function afterClose(res: ServerResponse): Promise<void> {
  return res.closed ? Promise.resolve() : new Promise((resolve) => res.once('close', resolve));
}

/** Enters through the current gate. */
function enter(exchange: Exchange, expectsContinue: boolean): Promise<void> {
  // The caller has gone: nothing would release what this request takes.
  if (exchange.res.closed) return Promise.reject(new SidecarError('CALLER_ABORTED'));
  const { gate } = exchange.context;
  gate.hold();
  exchange.gate = gate;
  const work = run(exchange, gate, expectsContinue);
  // `run` has already chosen the route, or failed.
  const { route } = exchange;
  return route?.totalMs === undefined ? work : inTime(exchange, route, work);
}

async function inTime(exchange: Exchange, route: Route, work: Promise<void>): Promise<void> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    if (exchange.attempt) exchange.attempt.expire();
    else reject(outOfTime(route, false));
  }, route.totalMs);
  await Promise.race([work, late]).finally(() => clearTimeout(timer));
}

/** The steps, in order. Their errors end in `fail`. */
async function run(exchange: Exchange, gate: Gate, expectsContinue: boolean): Promise<void> {
  const { req, res, head } = exchange;
  const method = req.method ?? '';
  const { route, path, caller, methods } = gate.admit(readLine(req), head);
  exchange.route = route;
  exchange.path = path;
  exchange.methods = methods;
  exchange.caller = caller;
  exchange.leave = gate.enter(caller, route, methods);
  if (methods.some(gate.audited)) exchange.digest = createHash('sha256');
  const forwarded = countForward(method, exchange.trace?.forwarded(head.forward) ?? head.forward);
  if (forwarded === 'ends here') {
    res.writeHead(200, { 'Content-Length': 0, 'X-Request-Id': exchange.requestId }).end();
    return;
  }
  const withBody = hasBody(exchange);
  if (withBody) checkAnnounced(head, gate.limits);
  if (res instanceof UpgradeResponse) exchange.upgrade = asUpgrade(res, route);
  const found = route.tokens.get();
  const token = found instanceof Promise ? await waitFor(found, exchange, route) : found;
  if (exchange.digest) await intend(exchange);
  if (res.destroyed || exchange.error) throw new SidecarError('CALLER_ABORTED');
  // Only now: a caller with Expect: 100-continue must not upload a body that would be refused (RFC 9110 §10.1.1).
  if (expectsContinue) res.writeContinue();
  exchange.idleMs = route.direct.idleMs;
  if (withBody) await receive(exchange, gate);
  exchange.forward = route.rewrite ? route.rewrite.request(forwarded) : forwarded;
  if (route.rewrite) exchange.added = route.rewrite.added(method, forwarded);
  exchange.isForwarded = true;
  await forward(exchange, route, token);
}

function waitFor(token: Promise<Token>, { trace }: Exchange, route: Route): Promise<Token> {
  return trace?.waits(token, route.tokens.key.credential, false) ?? token;
}

async function receive(exchange: Exchange, { limits }: Gate): Promise<void> {
  const { req, head, digest, idleMs } = exchange;
  exchange.body = await receiveBody(req, head, { ...limits, idleMs, digest });
}

function readLine(req: IncomingMessage): RequestLine {
  const { method = '', url: target = '', httpVersion, rawHeaders, socket } = req;
  const secure = socket instanceof TLSSocket;
  const certificate = secure ? certificateOf(socket) : undefined;
  return { method, target, httpVersion, headerCount: rawHeaders.length / 2, secure, certificate };
}

/** Turns a failure into a response. */
function fail(exchange: Exchange, thrown: unknown): void {
  const { res, requestId, context, added } = exchange;
  const error = thrown instanceof SidecarError ? thrown : new SidecarError('SIDECAR_INTERNAL', { cause: thrown });
  const { code } = error;
  exchange.error = error;
  context.metrics.error(code);
  if (code === 'SIDECAR_INTERNAL') context.log.error('unexpected error', { requestId, reason: nameOf(thrown) });
  // A response that was sent in part must look broken to the caller, not complete.
  if (res.headersSent || res.destroyed) {
    breakOff(res);
    return;
  }
  // RFC 9110 §15.5.9 and §15.5.14: the rest of the body could be slow or endless, and a malformed message has no reliable
  // end.
  if (/^CALLER_(?:TIMEOUT|BODY_TOO_LARGE|REQUEST_INVALID)$/.test(code)) res.shouldKeepAlive = false;
  const problem = toProblem(error, requestId, exchange.mayHaveExecuted);
  const send = () => {
    if (res.destroyed || res.headersSent) return;
    res.writeHead(problem.status, [...Object.entries(problem.headers).flat(), ...added]).end(problem.body);
  };
  const concluded = conclude(exchange, problem.status);
  if (concluded !== undefined) void concluded.then(send);
  else send();
}

/** Resets the connection where possible: to an HTTP/1.0 caller an orderly close means a complete response. */
function breakOff(res: ServerResponse): void {
  const { socket } = res;
  if (socket?.remoteFamily !== undefined && !socket.destroyed) socket.resetAndDestroy();
  res.destroy();
}

/** Returns class and code of an unexpected error; its message is never shown, because it may contain secrets. */
function nameOf(thrown: unknown): string {
  const { name, code } = thrown as { name?: unknown; code?: unknown };
  return [name, code].filter((part) => typeof part === 'string').join(' ');
}
