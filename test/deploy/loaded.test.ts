/**
 * What `serve` loads. Each name costs every start time and memory as long as the process lives, so a new one fails here until
 * it is added with its reason, or its import is moved to where it is needed.
 */
import { once } from 'node:events';
import { get } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createFolder } from '../support/folder.ts';
import { bundleToWatch, type Loaded, startWatched, type Watched } from '../support/loaded-modules.ts';
import { startTokenServer, type TokenServer } from '../support/token-server.ts';
import { type ScriptedUpstream, startUpstream } from '../support/upstream.ts';

/** Modules of Node, by the reason why they are loaded. */
const NODE = {
  'Node itself loads them before any program': [
    ...['assert', 'async_hooks', 'buffer', 'diagnostics_channel', 'events', 'fs', 'path', 'process', 'querystring'],
    ...['string_decoder', 'timers', 'url', 'util', 'util/types', 'module'],
  ],
  'calls, probes and token requests': [
    ...['http', '_http_agent', '_http_client', '_http_common', '_http_incoming', '_http_outgoing', '_http_server'],
    ...['https', 'net', 'tls', 'stream', 'stream/promises', 'dns', 'crypto'],
  ],
  'node:net loads them when it listens': ['cluster', 'child_process', 'dgram'],
  'paths in URLs': ['path/posix'],
  'names of the host in locks and metrics': ['os'],
  'memory and the metrics of the process': ['perf_hooks', 'v8', 'vm'],
  pauses: ['timers/promises'],
};

/** Packages, by the reason why they are loaded. */
const PACKAGES = {
  'command line': ['commander'],
  'configuration, read and checked': ['yaml', 'zod'],
  log: ['sonic-boom', 'atomic-sleep'],
  'calls and token requests': ['undici'],
  'expiry of tokens that are JWTs: nothing but jose/jwt/decode': ['jose'],
  'limits of callers': ['lru-cache'],
  'metrics, which count from the start': ['prom-client', 'bintrees', 'tdigest'],
  'admin listener': [
    ...['fastify', '@fastify/error', 'abstract-logging', 'avvio', 'fast-decode-uri-component', 'fast-deep-equal'],
    ...['fast-json-stringify', 'fast-querystring', 'fastq', 'find-my-way', 'process-warning', 'ret', 'reusify', 'rfdc'],
    ...['safe-regex2', 'secure-json-parse', 'toad-cache'],
  ],
};

/** Folders of `src/`, `main.ts` as one without a name; without those of other commands, of the emulator and of features that are not configured. */
const FOLDERS = [
  ...['', 'admin', 'cli', 'cli/iam', 'config', 'core', 'iam', 'iam/rotation', 'net', 'oauth', 'proxy'],
  ...['sidecar', 'sidecar/data-plane'],
];

const PACKAGES_OF_FLEET = [
  ...['@ioredis/commands', 'cluster-key-slot', 'denque', 'ioredis', 'redis-errors', 'standard-as-callback'],
];
const PACKAGES_OF_TRACING = [
  ...['@opentelemetry/api', '@opentelemetry/core', '@opentelemetry/otlp-transformer', '@opentelemetry/resources'],
  ...['@opentelemetry/sdk-trace', '@opentelemetry/semantic-conventions'],
];
/** For the files of a rotation. */
const NODE_OF_FLEET: readonly string[] = ['fs/promises'];

const REVIEWED: Loaded = {
  node: Object.values(NODE).flat().sort(),
  packages: Object.values(PACKAGES).flat().sort(),
  folders: FOLDERS,
};

describe('modules that serve loads', () => {
  let tokens: TokenServer;
  let upstream: ScriptedUpstream;
  let built: Awaited<ReturnType<typeof bundleToWatch>>;
  beforeAll(async () => {
    built = await bundleToWatch();
    tokens = await startTokenServer();
    upstream = await startUpstream(() => 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  });
  afterAll(async () => {
    await upstream[Symbol.asyncDispose]();
    await tokens.close();
  });
  const start = (config = {}): Promise<Watched> =>
    startWatched(built, { upstream: upstream.url, tokenEndpoint: tokens.url, config });

  it('are the reviewed ones when it is ready, and nothing is added by a call and a scrape', async () => {
    await using watched = await start();
    expect(await watched.loaded()).toEqual(REVIEWED);
    await read(`http://127.0.0.1:${watched.sidecar.port}/api/accounts`);
    await read(`${watched.sidecar.adminUrl}/metrics`);
    expect(await watched.loaded()).toEqual(REVIEWED);
  });

  it('include the audit log when one is configured', async () => {
    await using watched = await start({ audit: { file: 'audit.jsonl' } });
    const { node, folders } = await watched.loaded();
    expect(added(node, REVIEWED.node)).toEqual(['fs/promises', 'sqlite', 'zlib']);
    expect(added(folders, REVIEWED.folders)).toEqual(['sidecar/audit']);
  });

  it('include the client of the store when a fleet is configured, and the encryption of what is in it', async () => {
    using folder = createFolder();
    const key = folder.write('fleet-key', Buffer.alloc(32, 'key').toString('base64url'));
    // Nobody listens there: a fleet without its store works as one sidecar does.
    await using watched = await start({ fleet: { url: 'redis://127.0.0.1:1', keys: [{ file: key }] } });
    const { node, packages, folders } = await watched.loaded();
    expect(added(folders, REVIEWED.folders)).toEqual(['fleet', 'sidecar/fleet']);
    expect(added(packages, REVIEWED.packages)).toEqual(PACKAGES_OF_FLEET);
    expect(added(node, REVIEWED.node)).toEqual(NODE_OF_FLEET);
  });

  it('include the encoder of spans when tracing is configured, and a call adds nothing more', async () => {
    // Nobody listens there: calls work as without.
    await using watched = await start({ tracing: { otlp: 'http://127.0.0.1:1', sample: 1 } });
    const before = await watched.loaded();
    expect(added(before.folders, REVIEWED.folders)).toEqual(['sidecar/tracing']);
    expect(added(before.packages, REVIEWED.packages)).toEqual(PACKAGES_OF_TRACING);
    expect(added(before.node, REVIEWED.node)).toEqual([]);
    await read(`http://127.0.0.1:${watched.sidecar.port}/api/accounts`);
    expect(await watched.loaded()).toEqual(before);
  });
});

function added(names: readonly string[], to: readonly string[]): string[] {
  return names.filter((name) => !to.includes(name));
}

async function read(url: string): Promise<void> {
  const [response] = await once(get(url, { agent: false }), 'response');
  await once(response.resume(), 'end');
}
