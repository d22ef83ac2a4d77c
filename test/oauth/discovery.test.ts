/** What a discovery document is taken for, how long it is kept, and which answers are refused. */
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Pool } from 'undici';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createDiscovery } from '../../src/oauth/discovery.ts';
import { PATIENCE_MS, startOwnTime } from '../support/own-time.ts';

type Answerer = (res: ServerResponse, issuer: string) => void;

const FAILED = { failed: 'discovery' };

const document = (issuer: string, fields: Readonly<Record<string, unknown>> = {}) => ({
  issuer,
  token_endpoint: `${issuer}/connect/token`,
  jwks_uri: `${issuer}/keys`,
  ...fields,
});

/** The right document, with some fields different. */
const stating =
  (fields: Readonly<Record<string, unknown>> = {}): Answerer =>
  (res, issuer) =>
    res.end(JSON.stringify(document(issuer, fields)));

async function setUp({ tenant = '', deadlineMs = PATIENCE_MS } = {}) {
  const paths: string[] = [];
  let answerer = stating();
  const server = createServer((req, res) => {
    paths.push(req.url ?? '');
    answerer(res, issuer);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const issuer = origin + tenant;
  const dispatcher = new Pool(origin);
  onTestFinished(async () => {
    await dispatcher.destroy();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return {
    issuer,
    paths,
    answerWith(next: Answerer) {
      answerer = next;
    },
    discovery: createDiscovery({
      issuer,
      basePath: tenant,
      dispatcher,
      deadlineMs,
      isAcceptable: (url) => url.startsWith('https://') || url.startsWith('http://127.0.0.1:'),
    }),
    found: { found: { tokenEndpoint: `${issuer}/connect/token`, jwksUri: `${issuer}/keys` } },
  };
}

describe('src/oauth/discovery.ts: what is kept', () => {
  it('asks once and keeps what it found', async () => {
    const { discovery, found, paths } = await setUp();
    expect([await discovery.find(), await discovery.find()]).toEqual([found, found]);
    expect(paths).toEqual(['/.well-known/openid-configuration']);
  });

  it('asks below the path of an issuer that has one', async () => {
    const { discovery, found, paths } = await setUp({ tenant: '/tenant/one' });
    expect(await discovery.find()).toEqual(found);
    expect(paths).toEqual(['/tenant/one/.well-known/openid-configuration']);
  });

  it('lets concurrent callers share one request, whether it succeeds or fails', async () => {
    const { discovery, found, paths, answerWith } = await setUp();
    answerWith((res) => res.writeHead(500).end());
    const refused = await Promise.all([discovery.find(), discovery.find(), discovery.find()]);
    expect(refused).toEqual([FAILED, FAILED, FAILED]);
    expect(paths).toHaveLength(1);
    answerWith(stating());
    expect(await Promise.all([discovery.find(), discovery.find()])).toEqual([found, found]);
    expect(paths).toHaveLength(2);
  });

  it('asks again after forget(), also while a request is under way', async () => {
    const { discovery, found, paths, answerWith } = await setUp();
    expect(await discovery.find()).toEqual(found);
    discovery.forget();
    expect(await discovery.find()).toEqual(found);
    expect(paths).toHaveLength(2);
    discovery.forget();
    const held: (() => void)[] = [];
    answerWith((res) => held.push(() => res.writeHead(500).end()));
    const slow = discovery.find();
    await expect.poll(() => held.length).toBe(1);
    discovery.forget();
    answerWith(stating());
    expect(await discovery.find()).toEqual(found);
    held[0]?.();
    expect(await slow).toEqual(FAILED);
    // The failure of the forgotten request does not take away what came after it.
    expect(await discovery.find()).toEqual(found);
    expect(paths).toHaveLength(4);
  });
});

describe('src/oauth/discovery.ts: what is refused', () => {
  it.each<[string, (issuer: string) => unknown]>([
    ['another host', () => 'https://id.example'],
    ['a trailing slash', (issuer) => `${issuer}/`],
    ['another letter case', (issuer) => issuer.toUpperCase()],
    ['another scheme', (issuer) => issuer.replace('http:', 'https:')],
    ['nothing', () => undefined],
    ['a list holding the right one', (issuer) => [issuer]],
  ])('says discovery_mismatch for a document that states as its issuer %s', async (_what, stated) => {
    const { discovery, issuer, answerWith } = await setUp();
    answerWith(stating({ issuer: stated(issuer) }));
    expect(await discovery.find()).toEqual({ failed: 'discovery_mismatch' });
  });

  it.each([
    ['plain http to another host', 'http://id.example/token'],
    ['not a string', 7],
    ['empty', ''],
    ['absent', undefined],
  ])('refuses a token endpoint that is %s', async (_what, token_endpoint) => {
    const { discovery, answerWith } = await setUp();
    answerWith(stating({ token_endpoint }));
    expect(await discovery.find()).toEqual(FAILED);
  });

  it('leaves out keys that would come over plain http from another host, and keeps the token endpoint', async () => {
    const { discovery, issuer, answerWith } = await setUp();
    answerWith(stating({ jwks_uri: 'http://id.example/keys' }));
    expect(await discovery.find()).toEqual({
      found: { tokenEndpoint: `${issuer}/connect/token`, jwksUri: undefined },
    });
  });

  it.each<[string, Answerer]>([
    ['over 256 KiB', stating({ filler: 'x'.repeat(257 * 1024) })],
    ['not JSON', (res) => res.end('<html>')],
    ['a JSON list', (res) => res.end('[]')],
    ['JSON null', (res) => res.end('null')],
    ['empty', (res) => res.end()],
    ['cut off', (res, issuer) => cutOff(res, JSON.stringify(document(issuer)))],
    ['right but with status 404', (res, issuer) => res.writeHead(404).end(JSON.stringify(document(issuer)))],
    ['right but with status 201', (res, issuer) => res.writeHead(201).end(JSON.stringify(document(issuer)))],
    ['a broken connection', (res) => void res.destroy()],
  ])('does not keep an answer that is %s', async (_what, answerer) => {
    const { discovery, found, paths, answerWith } = await setUp();
    answerWith(answerer);
    expect(await discovery.find()).toEqual(FAILED);
    answerWith(stating());
    expect(await discovery.find()).toEqual(found);
    expect(paths).toHaveLength(2);
  });

  it('takes a document just under 256 KiB', async () => {
    const { discovery, found, answerWith } = await setUp();
    answerWith(stating({ filler: 'x'.repeat(255 * 1024) }));
    expect(await discovery.find()).toEqual(found);
  });

  it('does not follow a redirect, even to the right document', async () => {
    const { discovery, paths, answerWith } = await setUp();
    answerWith((res, issuer) => res.writeHead(302, { location: `${issuer}/real` }).end());
    expect(await discovery.find()).toEqual(FAILED);
    expect(paths).toEqual(['/.well-known/openid-configuration']);
  });

  it.each<[string, Answerer]>([
    ['nothing', () => undefined],
    ['half a document', (res) => void res.writeHead(200).write('{"issuer":')],
  ])('gives up at the deadline when the server sends %s', async (_what, answerer) => {
    const { discovery, answerWith } = await setUp({ deadlineMs: 100 });
    answerWith(answerer);
    const startedAt = performance.now();
    using own = startOwnTime();
    expect(await discovery.find()).toEqual(FAILED);
    expect(performance.now() - startedAt).toBeGreaterThan(90);
    expect(own.ms).toBeLessThan(5000);
  });
});

function cutOff(res: ServerResponse, text: string): void {
  res.writeHead(200, { 'content-length': text.length + 1 }).write(text, () => res.destroy());
}
