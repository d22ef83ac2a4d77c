// Every operation of the IAM API: the bytes it sends, what it makes of documented and undocumented answers.
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { Secret } from '../../src/core/secret.ts';
import { body, type Fault, reset, status } from '../support/fault-server.ts';
import {
  clientsPage,
  collect,
  failure,
  type IamWorld,
  inTurn,
  problem,
  startIam,
  TOKEN,
} from '../support/iam-world.ts';

const CLIENT = {
  name: 'My Application',
  description: 'string',
  allowedGrantTypes: ['client_credentials'],
  allowedScopes: ['api'],
  redirectUris: [],
};
const VALUE = 'planted-Value-7f3a';
const SECRET = { value: new Secret(VALUE), description: 'Production API access' };
const POLICY = { subject: 'client-1', scope: '/subscriptions/123', action: 'iam.policy.read' };

/** What one call sent and what came of it. */
async function call<T>(fault: Fault, use: (api: IamWorld['api']) => Promise<T>) {
  await using world = await startIam(fault);
  const result = await use(world.api).catch((error: unknown) => error);
  const sent = world.server.requests.map((request) => request.body);
  return { result, asked: world.asked(), sent: sent.map((text) => (text === '' ? undefined : JSON.parse(text))) };
}

describe('iam/api', () => {
  describe('requests', () => {
    it.each([
      [
        'clients',
        (api) => collect(api.clients('a&b=c')),
        'GET /clients?searchText=a%26b%3Dc&page=1&pageSize=100',
        undefined,
      ],
      ['clients without a search', (api) => collect(api.clients()), 'GET /clients?page=1&pageSize=100', undefined],
      ['createClient', (api) => api.createClient(CLIENT), 'POST /clients', CLIENT],
      ['updateClient', (api) => api.updateClient('c', CLIENT), 'PUT /clients/c', CLIENT],
      ['deleteClient', (api) => api.deleteClient('c'), 'DELETE /clients/c', undefined],
      ['secrets', (api) => collect(api.secrets('c')), 'GET /clients/c/secrets?page=1&pageSize=100', undefined],
      [
        'createSecret',
        (api) => api.createSecret('c', SECRET),
        'POST /clients/c/secrets',
        { value: VALUE, description: SECRET.description },
      ],
      [
        'createSecret that expires',
        (api) => api.createSecret('c', { ...SECRET, expiresAt: Date.UTC(2027, 7, 24, 14, 15, 22) }),
        'POST /clients/c/secrets',
        { value: VALUE, description: SECRET.description, expiration: '2027-08-24T14:15:22.000Z' },
      ],
      ['deleteSecret', (api) => api.deleteSecret('c', 's'), 'DELETE /clients/c/secrets/s', undefined],
      [
        'subjects',
        (api) => collect(api.subjects('john')),
        'GET /subjects/clients?searchQuery=john&page=1&pageSize=100',
        undefined,
      ],
      [
        'permissions',
        (api) => collect(api.permissions('c', { resourceProvider: 'aritma.control' })),
        'GET /subjects/clients/c/permissions?resourceProvider=aritma.control&page=1&pageSize=100',
        undefined,
      ],
      [
        'policies',
        (api) => collect(api.policies({ scope: '/a b' })),
        'GET /policies?scope=%2Fa+b&page=1&pageSize=100',
        undefined,
      ],
      ['createPolicy', (api) => api.createPolicy({ ...POLICY, tenant: 't' }), 'POST /policies', POLICY],
      ['deletePolicy', (api) => api.deletePolicy({ ...POLICY, tenant: 't' }), 'DELETE /policies', POLICY],
    ] as readonly [string, (api: IamWorld['api']) => Promise<unknown>, string, unknown][])(
      '%s sends what is documented',
      async (_what, use, asked, sent) => {
        const done = await call(status(200, '{"items":[]}'), use);
        expect(done.asked).toEqual([asked.replace(' ', ' /core/iam/v1')]);
        expect(done.sent).toEqual([sent]);
      },
    );

    it.each([
      ['a/b?c', 'a%2Fb%3Fc'],
      ['a#b', 'a%23b'],
      ['../x', '..%2Fx'],
      ['a b%2e', 'a%20b%252e'],
      ['ø', '%C3%B8'],
    ])('keep the id %j within its step of the path', async (id, encoded) => {
      const { asked } = await call(status(204), async (api) => {
        await api.deleteClient(id);
        await api.deleteSecret(id, id);
      });
      expect(asked).toEqual([
        `DELETE /core/iam/v1/clients/${encoded}`,
        `DELETE /core/iam/v1/clients/${encoded}/secrets/${encoded}`,
      ]);
    });

    it.each(['', '.', '..', '\ud800'])('are never made with the id %j', async (id) => {
      const uses: readonly ((api: IamWorld['api']) => Promise<unknown>)[] = [
        (api) => api.client(id),
        (api) => api.updateClient(id, CLIENT),
        async (api) => api.deleteClient(id),
        (api) => collect(api.secrets(id)),
        (api) => api.createSecret(id, SECRET),
        async (api) => api.deleteSecret('c', id),
        (api) => collect(api.permissions(id)),
      ];
      for (const use of uses) {
        const { result, asked } = await call(status(204), async (api) => use(api));
        expect(result).toMatchObject({ code: 'CONFIG_INVALID' });
        expect(asked).toEqual([]);
      }
    });
  });

  describe('the id of what was created', () => {
    const created = async (fault: Fault) => (await call(fault, (api) => api.createClient(CLIENT))).result;

    it.each([
      ['clientId', body({ clientId: 'new', id: 'row' }), 'new'],
      ['id', body({ id: 'new' }), 'new'],
      ['a number', body({ id: 17 }), '17'],
      ['Location', status(201, '', { Location: 'https://api.example/core/iam/v1/clients/a%2Fb?x=/clients/no' }), 'a/b'],
      ['Location beside a body without id', status(201, '{"name":"n"}', { Location: '/v1/clients/new' }), 'new'],
    ])('comes from %s', async (_what, fault, id) => {
      expect(await created(fault)).toBe(id);
    });

    it.each([
      ['there is no content', status(200)],
      ['there is content without it', body({ name: 'n' })],
      ['Location names the collection', status(201, '', { Location: '/core/iam/v1/clients' })],
      ['Location names the collection with a slash', status(201, '', { Location: '/core/iam/v1/clients/' })],
      ['Location names something else', status(201, '', { Location: '/operations/17' })],
      ['Location is half encoded', status(201, '', { Location: '/v1/clients/%E0%A4%A' })],
      ['it is an object', body({ id: { value: 1 } })],
      ['the content is a list', body([])],
    ])('is unknown and never guessed where %s', async (_what, fault) => {
      expect(await created(fault)).toBeUndefined();
    });

    it('of a secret is not that of its client', async () => {
      const { result } = await call(body({ clientId: 'c', clientSecretId: 's' }), (api) =>
        api.createSecret('c', SECRET),
      );
      expect(result).toBe('s');
    });
  });

  describe('items', () => {
    it('of several pages come as one list', async () => {
      await using world = await startIam(inTurn(clientsPage(1, 100, 150, 1), clientsPage(101, 150, 150, 2)));
      expect((await collect(world.api.clients())).map(({ clientId }) => clientId)).toEqual(
        Array.from({ length: 150 }, (_, index) => `c-${index + 1}`),
      );
      expect(world.asked()[1]).toBe('GET /core/iam/v1/clients?page=2&pageSize=100');
    });

    it('of a secret have their expiry in UTC whatever the zone of this machine', async () => {
      const expirations = ['2019-08-24T14:15:22Z', '2019-08-24T14:15:22', '2019-08-24T16:15:22+02:00', null, undefined];
      const items = expirations.map((expiration, index) => ({ clientSecretId: index, description: 'd', expiration }));
      const { result } = await call(body({ items }), (api) => collect(api.secrets('c')));
      const at = Date.UTC(2019, 7, 24, 14, 15, 22);
      expect(result).toEqual(
        [at, at, at, undefined, undefined].map((expiresAt, index) => ({
          clientSecretId: String(index),
          description: 'd',
          expiresAt,
        })),
      );
    });

    it.each([
      ['a client', (api: IamWorld['api']) => collect(api.clients()), { name: 'n' }],
      ['a secret', (api: IamWorld['api']) => collect(api.secrets('c')), { description: 'd' }],
      ['a subject', (api: IamWorld['api']) => collect(api.subjects()), { id: 'c' }],
      ['a policy', (api: IamWorld['api']) => collect(api.policies()), { subject: 's', scope: '/' }],
      ['an expiry', (api: IamWorld['api']) => collect(api.secrets('c')), { id: 's', expiration: 'soon' }],
    ] as readonly [string, (api: IamWorld['api']) => Promise<unknown>, object][])(
      'without what names %s are nonsense',
      async (_what, use, item) => {
        expect((await call(body({ items: [item] }), use)).result).toMatchObject({ code: 'IAM_INVALID' });
      },
    );

    it('of subjects have their client’s id as text, also where it is a number', async () => {
      const data = [
        { subjectId: 's1', id: 7, displayName: 'n' },
        { subjectId: 's2', clientId: 'c' },
      ];
      const { result } = await call(body({ data }), (api) => collect(api.subjects()));
      expect(result).toEqual([
        { subjectId: 's1', id: '7', displayName: 'n' },
        { subjectId: 's2', id: 'c', displayName: undefined },
      ]);
    });

    it('of permissions are what the server says', async () => {
      const data = [{ anything: [1, 2], action: null }];
      expect((await call(body({ data }), (api) => collect(api.permissions('c')))).result).toEqual(data);
    });
  });

  describe('deleting', () => {
    it('what is not there counts as done', async () => {
      const { result } = await call(status(404), async (api) => [
        await api.deleteClient('c'),
        await api.deleteSecret('c', 's'),
        await api.deletePolicy(POLICY),
      ]);
      expect(result).toEqual(['absent', 'absent', 'absent']);
    });

    it.each([
      [403, 'IAM_REFUSED'],
      [409, 'IAM_CONFLICT'],
      [500, 'IAM_UNAVAILABLE'],
    ])('fails on %i', async (code, expected) => {
      expect((await call(status(code), (api) => api.deleteClient('c'))).result).toMatchObject({ code: expected });
    });

    it('may have happened when the connection breaks', async () => {
      const { result } = await call(reset, (api) => api.deleteClient('c'));
      expect(result).toMatchObject({ code: 'IAM_UNAVAILABLE', extras: { mayHaveExecuted: true } });
    });
  });

  it('shows neither secret nor token in any error, however often the server repeats them', async () => {
    const echo = `value ${VALUE} with Bearer ${TOKEN}`;
    for (const code of [400, 401, 403, 404, 409, 422, 429, 500, 503]) {
      await using world = await startIam(problem(code, { title: echo, detail: echo, errors: { value: [echo] } }));
      const error = await failure(world.api.createSecret('c', SECRET));
      const said = [
        inspect(error, { depth: 9, showHidden: true }),
        JSON.stringify(error),
        String(error),
        error.stack,
      ].join();
      expect(said).not.toContain(VALUE);
      expect(said).not.toContain(TOKEN);
    }
  });
});
