// The API server of these tests answers what the real one documents, or what is tested against it proves little.
import { Agent, request } from 'undici';
import { expect, it } from 'vitest';
import { describeWithOpenssl, makeCertificates } from '../../support/certificates.ts';
import { SECRET_ID, startKubernetesWorld, TOKEN } from '../../support/kubernetes-world.ts';

const ONE = '/api/v1/namespaces/payments/secrets/aritma-client';
const ALL = '/api/v1/namespaces/payments/secrets';
const MERGE = 'application/merge-patch+json';
const WHOLE = { kind: 'Secret', apiVersion: 'v1', metadata: { name: 'aritma-client' } };

interface Asked {
  readonly method?: 'GET' | 'PUT' | 'PATCH' | 'POST' | 'DELETE';
  readonly path?: string;
  readonly type?: string;
  readonly body?: unknown;
  readonly token?: string;
}

describeWithOpenssl('the Kubernetes API double', () => {
  const certificates = makeCertificates((authority) => ({ server: authority.issue('api', 'IP:127.0.0.1') }));

  async function start() {
    const world = await startKubernetesWorld(certificates());
    const dispatcher = new Agent({ connect: { ca: certificates().authority.ca } });
    const ask = async ({ method = 'GET', path = ONE, type, body, token = TOKEN }: Asked) => {
      const headers = { authorization: `Bearer ${token}`, ...(type !== undefined && { 'content-type': type }) };
      const sent = body === undefined ? null : typeof body === 'string' ? body : JSON.stringify(body);
      const answer = await request(world.api.url + path, { method, headers, body: sent, dispatcher });
      return { code: answer.statusCode, json: (await answer.body.json()) as Record<string, unknown> };
    };
    const end = () => dispatcher.destroy().then(() => world[Symbol.asyncDispose]());
    const version = () => world.api.secrets.find(SECRET_ID)?.metadata.resourceVersion;
    world.api.rules.push({ namespace: 'payments', apiGroups: [''], resources: ['secrets'], verbs: ['update'] });
    return { world, ask, version, [Symbol.asyncDispose]: end };
  }

  it.each<[string, number, string, Asked]>([
    ['an unknown token', 401, 'Unauthorized', { token: 'x' }],
    ['a list', 403, 'Forbidden', { path: ALL }],
    ['a watch', 403, 'Forbidden', { path: `${ONE}?watch=1` }],
    ['a creation', 403, 'Forbidden', { method: 'POST', path: ALL, type: 'application/json', body: WHOLE }],
    ['a deletion', 403, 'Forbidden', { method: 'DELETE' }],
    ['another Secret', 403, 'Forbidden', { path: `${ALL}/other` }],
    ['another namespace', 403, 'Forbidden', { path: ONE.replace('payments', 'default') }],
    ['a patch as JSON', 415, 'UnsupportedMediaType', { method: 'PATCH', type: 'application/json', body: {} }],
    ['a patch that is no JSON', 400, 'BadRequest', { method: 'PATCH', type: MERGE, body: '{' }],
    [
      'base64 that is none, put',
      400,
      'BadRequest',
      { method: 'PUT', type: 'application/json', body: { ...WHOLE, data: { a: '%' } } },
    ],
    ['base64 that is none, patched', 422, 'Invalid', { method: 'PATCH', type: MERGE, body: { data: { a: '%' } } }],
    ['a key that is none', 422, 'Invalid', { method: 'PATCH', type: MERGE, body: { data: { 'a/b': 'YQ==' } } }],
    ['an old version', 409, 'Conflict', { method: 'PATCH', type: MERGE, body: { metadata: { resourceVersion: '1' } } }],
    ['another object', 409, 'Conflict', { method: 'PATCH', type: MERGE, body: { metadata: { uid: 'x' } } }],
    [
      'more than 1 MiB',
      422,
      'Invalid',
      { method: 'PATCH', type: MERGE, body: { stringData: { a: 'x'.repeat(1_048_577) } } },
    ],
  ])('refuses %s: %i %s', async (_name, code, reason, asked) => {
    await using double = await start();
    const before = double.world.api.secrets.find(SECRET_ID);
    const answer = await double.ask(asked);
    expect(answer).toMatchObject({ code, json: { kind: 'Status', apiVersion: 'v1', status: 'Failure', reason, code } });
    expect(double.world.api.secrets.find(SECRET_ID)).toEqual(before);
  });

  it('gives each change a new version, a change of nothing none, and ignores managedFields', async () => {
    await using double = await start();
    const first = double.version();
    const patch = (body: unknown) => double.ask({ method: 'PATCH', type: MERGE, body });
    await patch({ data: { other: Buffer.from('not-ours').toString('base64') }, metadata: { managedFields: [] } });
    expect(double.version()).toBe(first);
    await patch({ stringData: { a: 'b' }, data: { other: null }, metadata: { resourceVersion: first } });
    expect(double.version()).not.toBe(first);
    expect(double.world.data()).toMatchObject({ a: 'b' });
    expect(double.world.data()).not.toHaveProperty('other');
    expect((await double.ask({})).json).toMatchObject({ kind: 'Secret', type: 'Opaque' });
  });

  it('overwrites everything with a PUT that names no version', async () => {
    await using double = await start();
    await double.ask({ method: 'PUT', type: 'application/json', body: { ...WHOLE, stringData: { a: 'b' } } });
    expect(double.world.data()).toEqual({ a: 'b' });
  });

  it('lets metadata of an immutable Secret be changed, and nothing else', async () => {
    await using double = await start();
    double.world.api.secrets.edit(SECRET_ID, (object) => {
      object.immutable = true;
    });
    const patch = async (body: unknown) => (await double.ask({ method: 'PATCH', type: MERGE, body })).code;
    expect(await patch({ metadata: { labels: { a: 'b' } } })).toBe(200);
    expect(await patch({ stringData: { a: 'b' } })).toBe(422);
    expect(await patch({ immutable: null })).toBe(422);
  });
});
