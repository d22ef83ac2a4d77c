// A local Aritma on one port: identity server, IAM, Banking and Events APIs and an echo, with a control plane for
// tests. Composes the parts; responds with a problem to a request that no part handles.
import Fastify, {
  type FastifyError,
  type FastifyInstance,
  type FastifyPluginCallback,
  type FastifyReply,
  type FastifyRequest,
} from 'fastify';
import { createAccess } from './access.ts';
import { createAccountData } from './account-data.ts';
import { checkApiVersion, registerAccounts } from './banking.ts';
import { type Gate, requireScope } from './bearer.ts';
import { registerControl } from './control.ts';
import { registerDiscovery } from './discovery.ts';
import { registerEcho, routeEcho } from './echo.ts';
import { createEchoSockets, offersEcho } from './echo-socket.ts';
import { registerEvents } from './events.ts';
import { createFaults, injectFaults, type Target } from './faults.ts';
import { registerIam } from './iam.ts';
import { SAMPLES, type SettingsChange } from './iam-settings.ts';
import { registerPayments } from './payments.ts';
import { sendProblem } from './problem.ts';
import { openMemory } from './state.ts';
import type { Counters, EmulatorClient } from './store.ts';
import { registerTokenEndpoint } from './token-endpoint.ts';
import type { KeptSigning } from './tokens.ts';

export interface EmulatorOptions {
  /** Default 127.0.0.1. */
  host?: string;
  /** Default 7100; 0 = any free port. */
  port?: number;
  /** Seconds, default 3600; a client may have its own. */
  tokenLifetimeS?: number;
  /** Default: the demo client and its administrator. */
  clients?: readonly EmulatorClient[];
  /** Initial behaviour of the IAM API. */
  iam?: SettingsChange;
  /** Keeps clients, policies and the signing key for the next run. If the file exists, `clients` is ignored. */
  stateFile?: string;
  /** Default: a new key, which takes 0.1 s to create. The key in a state file wins. */
  signing?: KeptSigning;
  /** Epoch ms. */
  now?: () => number;
}

export interface Emulator {
  /** Origin without a slash at the end, `http://127.0.0.1:7100`. */
  readonly url: string;
  /** Closes open connections too; resolves when the port is free. */
  close(): Promise<void>;
}

const KEEP_ALIVE_MS = 75_000;

/**
 * Starts an emulator with its own key and memory. Rejects with the system's error if it cannot listen, and with
 * StateFileError if the state file cannot be used.
 */
export async function startEmulator(options: EmulatorOptions = {}): Promise<Emulator> {
  const { host = '127.0.0.1', port = 7100 } = options;
  const memory = await openMemory(options);
  const app = createApp();
  await registerParts(app, memory, options);
  const close = async () => {
    await app.close();
    await memory.close();
  };
  try {
    await app.listen({ host, port });
  } catch (error) {
    await close();
    throw error;
  }
  return { url: app.listeningOrigin, close };
}

function createApp(): FastifyInstance {
  const app = Fastify({
    logger: false,
    forceCloseConnections: true,
    http: { shouldUpgradeCallback: offersEcho },
    // Longer than a proxy in front keeps its connections, so that it never writes to one that closes here.
    keepAliveTimeout: KEEP_ALIVE_MS,
    rewriteUrl: (request) => routeEcho(request.url ?? '/'),
    routerOptions: { caseSensitive: true, ignoreTrailingSlash: false },
    frameworkErrors: (error, _request, reply) => void sendProblem(reply as FastifyReply, error.statusCode ?? 400),
  });
  app.setNotFoundHandler((_request, reply) => sendProblem(reply, 404));
  app.setErrorHandler((error: FastifyError, _request, reply) => sendProblem(reply, error.statusCode ?? 500));
  acceptJsonOnly(app);
  return app;
}

/** Accepts the media types that an ASP.NET Core API reads; anything else gets 415. */
function acceptJsonOnly(app: FastifyInstance): void {
  const parseJson = app.getDefaultJsonParser('error', 'error');
  app.removeContentTypeParser('text/plain');
  app.addContentTypeParser('text/json', { parseAs: 'string' }, parseJson);
  app.addContentTypeParser(/^application\/[^;]+\+json/, { parseAs: 'string' }, parseJson);
}

async function registerParts(app: FastifyInstance, { tokens, store }: Gate, options: EmulatorOptions): Promise<void> {
  const { now = Date.now, tokenLifetimeS = 3600 } = options;
  const faults = createFaults();

  injectFaults(app, faults, (target) => countArrival(store.counters, target));
  await app.register(
    scope((part) => registerControl(part, { store, tokens, faults })),
    { prefix: '/_emulator' },
  );
  await app.register(scope((part) => registerTokenEndpoint(part, { store, tokens, tokenLifetimeS, originOf })));
  registerDiscovery(app, { publishedKey: tokens.publishedKey, originOf });
  await registerApis(app, { tokens, store }, now);
}

async function registerApis(app: FastifyInstance, gate: Gate, now: () => number): Promise<void> {
  const acceptSocket = createEchoSockets(app);
  const banking = scope((part) => {
    part.addHook('onRequest', requireScope(gate, ['api', 'services.banking'], createAccess(gate.store.policies)));
    part.addHook('onRequest', checkApiVersion);
    registerAccounts(part, createAccountData());
    registerPayments(part, gate.store.counters);
  });
  const events = scope((part) => {
    part.addHook('onRequest', requireScope(gate, ['api']));
    part.addHook('onRequest', checkApiVersion);
    registerEvents(part);
  });
  const echo = scope((part) => {
    part.addHook('onRequest', requireScope(gate, ['api']));
    registerEcho(part, acceptSocket);
  });
  const iam = scope((part) => {
    part.addHook('onRequest', requireScope(gate, ['services.iam']));
    registerIam(part, { store: gate.store, now, originOf });
  });
  await app.register(banking, { prefix: '/banking/api' });
  await app.register(events, { prefix: '/events' });
  await app.register(echo, { prefix: '/echo' });
  await app.register(iam, { prefix: '/core/iam/v1' });
  if (gate.store.settings.lenient) await app.register(iam, { prefix: SAMPLES.prefix });
}

/** Creates a Fastify scope: its hooks and parsers apply only to its own routes. */
function scope(build: (part: FastifyInstance) => void): FastifyPluginCallback {
  return (part, _options, done) => {
    build(part);
    done();
  };
}

/** The issuer is the origin of the request, as in IdentityServer, so it is right for every host name. */
function originOf({ host }: FastifyRequest): string {
  return `http://${host}`.toLowerCase();
}

function countArrival(counters: Counters, target: Target): void {
  if (target === 'token') counters.tokenRequests += 1;
  else if (target !== 'discovery') counters.requests[target] += 1;
}
