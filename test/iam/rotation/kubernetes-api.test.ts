// One request to the API server: what it says of who asks, and what is made of every kind of answer.
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { SidecarError } from '../../../src/core/errors.ts';
import { Secret } from '../../../src/core/secret.ts';
import { createAuthority, describeWithOpenssl, makeCertificates } from '../../support/certificates.ts';
import { NEW, OLD, SECRET_ID, startKubernetesWorld, TOKEN } from '../../support/kubernetes-world.ts';

async function failureOf(work: Promise<unknown>): Promise<SidecarError> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof SidecarError)) throw new Error(`no refusal but ${inspect(error)}`);
  expect(error.code).toBe('ROTATION_STORE_FAILED');
  const printed = inspect(error, { depth: 20, showHidden: true }) + JSON.stringify(error.extras.fields);
  for (const value of [TOKEN, OLD, NEW]) {
    expect(printed).not.toContain(value);
    expect(printed).not.toContain(Buffer.from(value).toString('base64'));
  }
  return error;
}

const fieldsOf = async (work: Promise<unknown>) => (await failureOf(work)).extras.fields;

describeWithOpenssl('rotation/kubernetes-api.ts', () => {
  const certificates = makeCertificates((authority, folder) => ({
    server: authority.issue('api', 'IP:127.0.0.1'),
    misnamed: authority.issue('misnamed', 'DNS:kubernetes.default.svc'),
    expired: authority.issue('expired', 'IP:127.0.0.1', -1),
    stranger: createAuthority(folder, 'strangers').issue('stranger', 'IP:127.0.0.1'),
  }));
  const start = () => startKubernetesWorld(certificates());

  describe('requests', () => {
    it('are get and patch of one Secret, as a merge patch with the version that was read and nothing of other keys', async () => {
      await using world = await start();
      const version = world.api.secrets.find(SECRET_ID)?.metadata.resourceVersion;
      const store = await world.store().open();
      await store.writeSecret(new Secret(NEW));
      await store.close();
      expect([...world.api.verbs()]).toEqual(['get', 'patch']);
      expect(new Set(world.api.calls.map(({ path }) => path))).toEqual(
        new Set(['/api/v1/namespaces/payments/secrets/aritma-client']),
      );
      const patches = world.api.calls.filter(({ verb }) => verb === 'patch');
      expect(new Set(patches.map(({ contentType }) => contentType))).toEqual(new Set(['application/merge-patch+json']));
      const [first, second] = patches.map(({ body }) => JSON.parse(body) as Record<string, Record<string, unknown>>);
      expect(first?.['metadata']?.['resourceVersion']).toBe(version);
      expect(first?.['data']).toBeUndefined();
      expect(second?.['data']).toEqual({ 'client-secret': Buffer.from(NEW).toString('base64') });
    });

    it('go to the namespace that is configured, else to the pod’s own', async () => {
      await using world = await start();
      const fields = await fieldsOf(world.store('pod', { namespace: 'other' }).peek());
      expect(fields).toMatchObject({ namespace: 'other', status: 403 });
      expect(await world.store('pod', { namespace: 'payments' }).peek()).toBeUndefined();
      world.mount('namespace', 'elsewhere\n');
      expect(await fieldsOf(world.store().peek())).toMatchObject({ namespace: 'elsewhere', status: 403 });
    });

    it('carry the token that is in its file at that moment', async () => {
      await using world = await start();
      const store = await world.store().open();
      world.mount('token', 'second-token');
      world.api.tokens.add('second-token');
      await store.readSecret();
      expect(world.api.calls.at(-1)?.token).toBe('second-token');
      await store.close();
    });

    it('answered 401 are repeated once if the file has another token by then, and only then', async () => {
      await using world = await start();
      world.api.tokens.clear();
      expect(await fieldsOf(world.store().peek())).toMatchObject({ status: 401 });
      expect(world.api.calls).toHaveLength(1);
      world.api.impostor = (res) => {
        world.api.impostor = undefined;
        world.mount('token', 'renewed-token');
        world.api.tokens.add('renewed-token');
        res.writeHead(401).end('{"kind":"Status","reason":"Unauthorized","code":401}');
      };
      expect(await world.store().peek()).toBeUndefined();
      expect(world.api.calls.map(({ token }) => token)).toEqual([TOKEN, TOKEN, 'renewed-token']);
    });
  });

  describe('the service account', () => {
    it.each([
      ['empty', () => '', 'is empty'],
      ['half written', (ca: string) => ca.slice(0, -40), 'block 1 (certificate) is cut off'],
      ['no certificate', (ca: string) => ca.replaceAll('CERTIFICATE', 'PKCS7'), 'block 1 (pkcs7) is not a certificate'],
    ])('with a ca.crt that is %s send nothing and say which block is wrong', async (_what, change, reason) => {
      await using world = await start();
      world.mount('ca.crt', change(certificates().authority.ca));
      const fields = await fieldsOf(world.store().peek());
      expect(fields).toMatchObject({ doing: 'read', reason: expect.stringContaining(reason) });
      expect(world.api.calls).toEqual([]);
    });

    it.each(['token', 'ca.crt', 'namespace'] as const)(
      'without %s: the error says which file is missing',
      async (name) => {
        await using world = await start();
        rmSync(join(world.serviceAccountDir, name));
        const fields = await fieldsOf(world.store().peek());
        expect(fields).toMatchObject({ errno: 'ENOENT', file: join(world.serviceAccountDir, name) });
        expect(String(fields?.['reason'])).toContain('automountServiceAccountToken');
        expect(world.api.calls).toHaveLength(0);
      },
    );

    it.each([
      ['empty', ''],
      ['two lines', `${TOKEN}\nx: y`],
      ['not ASCII', `${TOKEN}ü`],
    ])('with a token that is %s: nothing is sent', async (_name, text) => {
      await using world = await start();
      world.mount('token', text);
      expect(await fieldsOf(world.store().peek())).toMatchObject({ reason: 'the file holds no token' });
      expect(world.api.calls).toHaveLength(0);
    });
  });

  describe('refusals', () => {
    it.each(['get', 'patch'])('name what RBAC must allow: %s', async (missing) => {
      await using world = await start();
      world.api.rules.splice(0, 1, {
        namespace: 'payments',
        apiGroups: [''],
        resources: ['secrets'],
        verbs: ['get', 'patch'].filter((verb) => verb !== missing),
      });
      expect(await fieldsOf(world.store().open())).toMatchObject({
        status: 403,
        verb: missing,
        resource: 'secrets',
        secret: 'aritma-client',
        namespace: 'payments',
        reason: `RBAC must allow ${missing} on secrets, resourceNames [aritma-client], in namespace payments`,
      });
      expect(world.clock.waits).toEqual([]);
    });

    it('say that the Secret has to be created', async () => {
      await using world = await start();
      world.api.secrets.remove(SECRET_ID);
      const fields = await fieldsOf(world.store().open());
      expect(fields).toMatchObject({ status: 404, secret: 'aritma-client' });
      expect(String(fields?.['reason'])).toContain('create it');
    });

    it('of an immutable Secret come before anything is begun, and when it becomes so later', async () => {
      await using world = await start();
      const store = await world.store().open();
      world.api.secrets.edit(SECRET_ID, (object) => {
        object.immutable = true;
      });
      expect(await fieldsOf(store.writeSecret(new Secret(NEW)))).toMatchObject({ status: 422 });
      await store.close();
      expect(String((await fieldsOf(world.store().open()))?.['reason'])).toContain('immutable');
      expect(world.annotations()).toEqual({});
    });

    it.each([
      [301, 'a redirect; redirects are not followed'],
      [400, 'BadRequest'],
      [405, 'MethodNotAllowed'],
      [415, 'UnsupportedMediaType'],
    ])('%i end it at once, with the reason of the Status and never its message', async (code, reason) => {
      await using world = await start();
      world.api.impostor = (res) =>
        void res.writeHead(code, { location: '/' }).end(JSON.stringify({ kind: 'Status', reason, message: OLD, code }));
      expect(await fieldsOf(world.store().open())).toMatchObject({ status: code, reason });
      expect(world.api.calls).toHaveLength(1);
    });

    it.each([
      ['HTML', '<html>log in</html>'],
      ['a list', '[]'],
      ['another kind', '{"kind":"ConfigMap","metadata":{"resourceVersion":"1"}}'],
      ['no version', '{"kind":"Secret","metadata":{}}'],
    ])('of an answer that is %s', async (_name, body) => {
      await using world = await start();
      world.api.impostor = (res) => void res.end(body);
      expect(String((await fieldsOf(world.store().peek()))?.['reason'])).toContain('not a Secret');
    });

    it('of an answer larger than any Secret, without keeping it', async () => {
      await using world = await start();
      world.api.impostor = (res) => {
        res.on('error', () => undefined);
        res.end(Buffer.alloc(8 * 1024 * 1024, 'x'));
      };
      expect(await fieldsOf(world.store().peek())).toMatchObject({ reason: 'the response is larger than any Secret' });
    });
  });

  describe('TLS', () => {
    it.each(['misnamed', 'expired', 'stranger'] as const)('a certificate that is %s ends it at once', async (name) => {
      await using world = await startKubernetesWorld({ ...certificates(), server: certificates()[name] });
      expect(String((await fieldsOf(world.store().peek()))?.['errno'])).toMatch(/CERT|VERIFY/);
      expect(world.api.calls).toHaveLength(0);
      expect(world.clock.waits).toEqual([]);
    });

    it('a CA that is replaced takes effect with the next connection', async () => {
      await using world = await startKubernetesWorld({ ...certificates(), server: certificates().stranger });
      await failureOf(world.store().peek());
      world.mount('ca.crt', createdCa());
      expect(await world.store().peek()).toBeUndefined();
    });

    function createdCa(): string {
      const { folder } = certificates();
      return readFileSync(join(folder.path, 'strangers.pem'), 'utf8');
    }
  });

  describe('trouble', () => {
    it('is waited out, longer each time, and ends with the last answer', async () => {
      await using world = await start();
      world.api.faults.push({ verb: 'get', what: 500, times: 4 });
      expect(await world.store().peek()).toBeUndefined();
      expect(world.clock.waits).toEqual([500, 1500, 4000, 8000]);
      world.api.faults.push({ verb: 'get', what: 503, times: 100 });
      expect(await fieldsOf(world.store().peek())).toMatchObject({ status: 503, verb: 'get' });
      expect(world.clock.waits).toHaveLength(8);
    });

    it('is waited out as long as Retry-After says, up to a minute; for longer it is told to the caller', async () => {
      await using world = await start();
      world.api.faults.push({ verb: 'get', what: 429, retryAfter: '7' });
      world.api.faults.push({ verb: 'get', what: 429, retryAfter: '0' });
      world.api.faults.push({ verb: 'get', what: 429, retryAfter: 'Wed, 21 Oct 2026 07:28:00 GMT' });
      expect(await world.store().peek()).toBeUndefined();
      expect(world.clock.waits).toEqual([7000, 1500, 4000]);
      world.api.faults.push({ verb: 'get', what: 429, retryAfter: '61' });
      const error = await failureOf(world.store().peek());
      expect(error.extras).toMatchObject({ retryAfterS: 61, fields: { status: 429 } });
      expect(world.clock.waits).toHaveLength(3);
    });

    it('in renewing is left to the next time, and the lease is kept meanwhile', async () => {
      await using world = await start();
      const store = await world.store().open();
      const before = world.annotations();
      world.api.faults.push({ verb: 'get', what: 500, times: 2 });
      await world.pass(15_000);
      await expect.poll(() => world.clock.timers).toBe(1);
      expect(world.annotations()).toEqual(before);
      await world.pass(15_000);
      await expect.poll(() => world.annotations()).not.toEqual(before);
      await store.close();
    });

    it('in closing is not waited out for long', async () => {
      await using world = await start();
      const store = await world.store().open();
      world.api.faults.push({ verb: 'get', what: 503, times: 100 });
      await store.close();
      expect(world.clock.waits).toEqual([500]);
      expect(world.clock.timers).toBe(0);
    });

    it('of an address where nobody listens is told as such', async () => {
      await using world = await start();
      const fields = await fieldsOf(world.store('pod', { apiServer: 'https://127.0.0.1:1' }).peek());
      expect(fields).toMatchObject({ errno: 'ECONNREFUSED' });
    });
  });
});
