/** The plan is a function of what is wanted and what is there. */
import { describe, expect, it } from 'vitest';
import type { Client } from '../../../src/iam/api.ts';
import type { Desired } from '../../../src/iam/provision/desired-state.ts';
import { type Actual, planLine, planProvision, type Step } from '../../../src/iam/provision/plan.ts';

const NOW = Date.UTC(2026, 0, 1);
const DAY = 86_400_000;
const CREATE = { scope: '/subscriptions/123', action: 'banking.pis.create' };
const READ = { scope: '/subscriptions/123', action: 'banking.ais.read' };

const DESIRED: Desired = {
  client: { name: 'My ERP', description: 'Pays the bills', scopes: ['api', 'services.banking'] },
  secret: { file: '/etc/aritma/secret', description: 'first', lifetimeMs: 90 * DAY },
  policies: [CREATE, READ],
  sidecar: { environment: 'dev' },
};

const CLIENT: Client = {
  clientId: 'c-1',
  name: 'My ERP',
  description: 'Pays the bills',
  allowedGrantTypes: ['client_credentials'],
  allowedScopes: ['services.banking', 'api'],
  redirectUris: [],
};

const SECRET = { clientSecretId: 's-1', description: 'aritma-sidecar x first', expiresAt: NOW + 60 * DAY };

const COMPLETE: Actual = {
  client: CLIENT,
  secrets: [SECRET],
  subjectId: 'client-c-1',
  policies: [CREATE, READ].map((policy) => ({ subject: 'client-c-1', ...policy })),
  secret: { kind: 'working', known: SECRET },
  nowMs: NOW,
};

const NOTHING: Actual = {
  client: undefined,
  secrets: [],
  subjectId: undefined,
  policies: [],
  secret: { kind: 'missing' },
  nowMs: NOW,
};

const show = ({ change, what, fields = [] }: Step) =>
  `${change} ${what}${fields.map(({ field }) => ` ${field}`).join('')}`;

const client = (change: Partial<Client>): Actual => ({ ...COMPLETE, client: { ...CLIENT, ...change } });

const DONE = ['none client', 'none secret', 'none policy', 'none policy'];

const ROWS: readonly [string, Actual, readonly string[], Partial<Desired>?][] = [
  ['nothing is there', NOTHING, ['create client', 'create secret', 'create policy', 'create policy']],
  ['all is there, lists in another order', COMPLETE, DONE],
  ['the name differs', client({ name: 'Old' }), ['update client name', ...DONE.slice(1)]],
  [
    'several fields differ',
    client({ description: 'x', allowedScopes: ['api'] }),
    ['update client description allowedScopes', ...DONE.slice(1)],
  ],
  [
    'people log in with it, of which the file says nothing',
    client({ allowedGrantTypes: ['authorization_code', 'client_credentials'], redirectUris: ['https://erp'] }),
    DONE,
  ],
  [
    'people log in with it, and the file says they do not',
    client({ redirectUris: ['https://erp'] }),
    ['update client redirectUris', ...DONE.slice(1)],
    { client: { ...DESIRED.client, redirectUris: [] } },
  ],
  [
    'it may not use client credentials',
    client({ allowedGrantTypes: ['authorization_code'] }),
    ['update client allowedGrantTypes', ...DONE.slice(1)],
  ],
  ['IAM shows no details', { ...COMPLETE, client: { clientId: 'c-1', name: 'My ERP' } }, DONE],
  [
    'a policy is missing',
    { ...COMPLETE, policies: COMPLETE.policies.slice(1) },
    ['none client', 'none secret', 'create policy', 'none policy'],
  ],
  [
    'there are other policies',
    { ...COMPLETE, policies: [...COMPLETE.policies, { subject: 'client-c-1', scope: '/', action: 'owner' }] },
    [...DONE, 'leave policy'],
  ],
  [
    'there are other secrets',
    { ...COMPLETE, secrets: [SECRET, { ...SECRET, clientSecretId: 's-2' }] },
    [...DONE, 'leave secret'],
  ],
  ['a secret works of which only the value is known', { ...COMPLETE, secret: { kind: 'working' } }, DONE],
  [
    'the file is gone, the secret at IAM is not',
    { ...COMPLETE, secret: { kind: 'missing' } },
    ['none client', 'create secret', 'none policy', 'none policy', 'leave secret'],
  ],
  [
    'a secret was being made',
    { ...COMPLETE, secret: { kind: 'unfinished', known: SECRET } },
    ['none client', 'create secret', 'none policy', 'none policy'],
  ],
];

describe('provision/plan', () => {
  it.each(ROWS)('when %s', (_name, actual, expected, change = {}) => {
    expect(planProvision({ ...DESIRED, ...change }, actual).map(show)).toEqual(expected);
  });

  it.each([
    [60, undefined],
    [7, 'expires on 2026-01-08: run `aritma-sidecar rotate` soon'],
    [-1, 'expired on 2025-12-31: run `aritma-sidecar rotate`'],
  ])('points to a rotation when the secret has %i days left', (days, note) => {
    const known = { ...SECRET, expiresAt: NOW + days * DAY };
    const [, step] = planProvision(DESIRED, { ...COMPLETE, secrets: [known], secret: { kind: 'working', known } });
    expect(step?.note).toBe(note);
  });

  it('reads like a diff', () => {
    const [step] = planProvision(DESIRED, client({ description: 'Pays\u001b[2J', allowedScopes: ['api'] }));
    expect(step && planLine(step).text.split('\n')).toEqual([
      '~ client My ERP (c-1)',
      '    - description: Pays\\u001b[2J',
      '    + description: Pays the bills',
      '    - allowedScopes: [api]',
      '    + allowedScopes: [api, services.banking]',
    ]);
    expect(step && planLine(step).data).toMatchObject({ change: 'update', what: 'client' });
  });
});
