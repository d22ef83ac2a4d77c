/** Provisioning from the file to a client that works, over real sockets. */
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { loadConfig } from '../../../src/config/load.ts';
import { SidecarError } from '../../../src/core/errors.ts';
import { createFileStore } from '../../../src/iam/rotation/file-store.ts';
import { parseJournal } from '../../../src/iam/rotation/journal.ts';
import { rotate } from '../../../src/iam/rotation/rotate.ts';
import type { SecretStore } from '../../../src/iam/rotation/store.ts';
import type { StoredClient } from '../../support/iam-double.ts';
import { createProvisionWorld, type ProvisionWorld, SERVICE_CLIENT } from '../../support/provision-world.ts';

let world: ProvisionWorld;

beforeAll(async () => {
  world = await createProvisionWorld();
});
afterAll(() => world[Symbol.asyncDispose]());
/** As if it were killed while it waits to try again. */
const impatient = {
  clock: {
    now: () => Date.now(),
    async sleep() {
      throw new SidecarError('IAM_UNAVAILABLE', { fields: { reason: 'given up' } });
    },
  },
};

beforeEach(() => {
  world.renew();
  world.double.answers = 'body';
  world.double.subjectsAfter = 0;
  world.double.subjectIds = true;
});

describe('provision/run', () => {
  it.each(['body', 'empty'] as const)(
    'makes client, secret and policies when creations answer with %s',
    async (mode) => {
      world.double.answers = mode;
      expect(await world.run()).toBe(0);
      expect(world.faultsOfResult()).toEqual([]);
      const journal = parseJournal(readFileSync(join(world.folder.path, 'secret.rotation'), 'utf8'));
      expect(journal).toMatchObject({
        clientId: world.double.clients[0]?.clientId,
        current: { clientSecretId: world.double.secrets[0]?.clientSecretId },
      });
      expect(journal.current?.expiresAt).toBeCloseTo(Date.now() + 90 * 86_400_000, -5);
      expect(world.double.secrets[0]?.description).toContain(`aritma-sidecar ${journal.id} `);
    },
  );

  it('changes nothing the second time, at IAM or on disk', async () => {
    await world.run();
    const before = readFileSync(join(world.folder.path, 'secret.rotation'));
    world.double.calls.length = 0;
    expect(await world.run()).toBe(0);
    expect(world.double.calls.filter((call) => !call.startsWith('GET '))).toEqual([]);
    expect(world.double.calls.length).toBeGreaterThan(2);
    expect(readFileSync(join(world.folder.path, 'secret.rotation'))).toEqual(before);
    expect(world.faultsOfResult()).toEqual([]);
  });

  it('prints a configuration that loads as it stands', async () => {
    await world.run();
    const yaml = world.output.find((line) => line.includes('# aritma-sidecar.yaml')) ?? '';
    const file = world.folder.write('aritma-sidecar.yaml', yaml);
    const { config, secrets } = loadConfig({ file, env: {}, cwd: '/' });
    expect(config.credentials['default']).toMatchObject({ clientId: world.double.clients[0]?.clientId, scope: 'api' });
    expect(secrets.get('default')?.[0]?.value.reveal()).toBe(world.stored());
    expect(parse(yaml)).toMatchObject({ environment: 'dev' });
  });

  it('shows with --dry-run what would be done and leaves no file behind', async () => {
    expect(await world.run({ dryRun: true })).toBe(0);
    expect(world.output.join('')).toMatch(/^\+ client My ERP\n\+ secret .*\n\+ policy banking\.pis\.create on/);
    expect(world.double.calls.filter((call) => !call.startsWith('GET '))).toEqual([]);
    expect(readdirSync(world.folder.path)).toEqual(['service-client.yaml']);
  });

  it('adopts a client of that name whose secret is in the file already, and remembers it', async () => {
    await world.run();
    rmSync(join(world.folder.path, 'secret.rotation'));
    world.double.calls.length = 0;
    await world.run();
    expect(writes()).toEqual([]);
    const journal = readFileSync(join(world.folder.path, 'secret.rotation'), 'utf8');
    expect(parseJournal(journal)).toMatchObject({ clientId: world.double.clients[0]?.clientId });
    world.double.clients[0] = { ...at(world.double.clients, 0), name: 'Renamed by hand' };
    await world.run();
    expect(writes()).toEqual([expect.stringMatching(/^PUT /)]);
    expect(world.double.clients).toMatchObject([{ name: 'My ERP' }]);
  });

  it('takes the client that client.id names among several of one name, and none without it', async () => {
    const twin = { ...BODY, name: 'My ERP' };
    world.double.clients.push({ ...twin, clientId: 'a' }, { ...twin, clientId: 'b' });
    expect(await refusal(world.run())).toMatch(
      /^IAM_CONFLICT Aritma IAM: has 2 clients with this name.*client\.id to the right one: a, b$/,
    );
    expect(await world.run({}, SERVICE_CLIENT.replace('name: My', 'id: b\n  name: My'))).toBe(0);
    expect(world.double.secrets).toMatchObject([{ clientId: 'b' }]);
    expect(world.double.policies).toMatchObject([{ subject: 'client-b' }, { subject: 'client-b' }]);
  });

  it('does not take a client whose name only begins the same', async () => {
    world.double.clients.push({ ...BODY, name: 'My ERP 2', clientId: 'other' });
    await world.run();
    expect(world.double.clients).toHaveLength(2);
    expect(world.double.secrets[0]?.clientId).not.toBe('other');
  });

  it('never overwrites a secret: of no client, of another one, or written by somebody in between', async () => {
    world.folder.write('secret', 'somebody-elses-secret\n');
    expect(await refusal(world.run())).toContain('secret: already has a secret, but the client does not exist yet');
    world.double.clients.push({ ...BODY, clientId: 'c' });
    expect(await refusal(world.run())).toContain(
      'secret: has a secret that gets no token for client c; nothing was changed',
    );
    expect(world.stored()).toBe('somebody-elses-secret');
    rmSync(join(world.folder.path, 'secret'));
    const meddling = createFileStore(join(world.folder.path, 'secret'));
    const store: SecretStore = {
      ...meddling,
      async open() {
        const open = await meddling.open();
        const readSecret = async () => {
          const before = await open.readSecret();
          world.folder.write('secret', 'written-in-between');
          return before;
        };
        return { ...open, readSecret };
      },
    };
    expect(await refusal(world.run({ store }))).toContain('was changed by somebody else');
    expect(world.stored()).toBe('written-in-between');
    expect(await refusal(world.run())).toContain('was changed by somebody else');
    expect(writes().filter((call) => call.endsWith('/secrets'))).toHaveLength(1);
  });

  it('does not guess whose a secret is while the identity server is away, but knows its own', async () => {
    await world.run();
    const away = { verify: async () => 'unavailable' as const };
    expect(await world.run(away)).toBe(0);
    expect(world.output.join('')).toContain('could not be tested: no token right now');
    rmSync(join(world.folder.path, 'secret.rotation'));
    expect(await refusal(world.run(away))).toContain('TOKEN_UNAVAILABLE');
    expect(writes()).toHaveLength(5);
  });

  it('says what to do about a secret that has expired or is refused, and about a client that is gone', async () => {
    await world.run();
    at(world.double.secrets, 0).expiration = '2020-01-01T00:00:00Z';
    expect(await world.run()).toBe(0);
    expect(world.output.join('')).toContain('expired on 2020-01-01: run `aritma-sidecar rotate`');
    delete at(world.double.secrets, 0).expiration;
    expect(await refusal(world.run({ verify: async () => 'refused' }))).toContain('is refused although IAM lists it');
    world.double.clients.length = 0;
    expect(await refusal(world.run())).toContain('which IAM no longer has');
    expect(world.double.clients).toEqual([]);
  });

  it('makes another secret when the file was lost, and leaves the old one alone', async () => {
    await world.run();
    rmSync(join(world.folder.path, 'secret'));
    expect(await world.run()).toBe(0);
    expect(world.double.secrets).toHaveLength(2);
    expect(world.double.works(at(world.double.clients, 0).clientId, world.stored())).toBe(true);
    expect(world.output.join('')).toMatch(/· secret secret-\d+ .*not in the file, left unchanged/);
  });

  it('waits for a subject that is listed late, and takes one without an id by its unique name', async () => {
    world.double.subjectsAfter = 7;
    const pauses: number[] = [];
    const sleep = async (ms: number) => void pauses.push(ms);
    expect(await world.run({ clock: { now: () => Date.now(), sleep } })).toBe(0);
    expect(pauses.slice(0, 3)).toEqual([500, 1000, 2000]);
    world.renew();
    world.double.subjectsAfter = 0;
    world.double.subjectIds = false;
    expect(await world.run()).toBe(0);
    expect(world.faultsOfResult()).toEqual([]);
  });

  it('gives up on a subject that is never listed, and gives no rights to a namesake', async () => {
    world.double.subjectsAfter = 10_000;
    expect(await refusal(world.run())).toContain('does not list the client as a subject');
    world.renew();
    world.double.subjectsAfter = 0;
    const namesake = { subjectId: 'client-x', id: 'other', displayName: 'My ERP' };
    world.double.clients.push({ ...BODY, name: 'Renamed', clientId: 'other' });
    const subjects: typeof world.iam.subjects = async function* () {
      yield namesake;
    };
    expect(await refusal(world.run({ iam: { ...world.iam, subjects } }))).toContain(
      'does not list the client as a subject',
    );
    expect(world.double.policies).toEqual([]);
  });

  it('keeps out of a rotation, and a rotation out of it', async () => {
    await world.run();
    const store = createFileStore(join(world.folder.path, 'secret'));
    const held = await store.open();
    expect(await refusal(world.run())).toContain('ROTATION_LOCKED');
    await held.close();
    rmSync(join(world.folder.path, 'secret'));
    world.double.fault = { at: world.double.calls.length + 5, fault: 'lost' };
    expect(await refusal(world.run(impatient))).toContain('given up');
    const opened = await store.open();
    const before = await opened.readJournal();
    const rotating = rotate({
      clientId: at(world.double.clients, 0).clientId,
      store: opened,
      iam: world.iam,
      trySecret: async () => 'accepted',
      policy: { secretLifetime: 1e9, overlap: 0, verifyFor: 1000 },
      clock: { now: () => Date.now(), sleep: async () => undefined },
    });
    expect(await refusal(rotating.then(() => 0))).toContain('provisioning: is not finished');
    expect(await opened.readJournal()).toBe(before);
    await opened.close();
    expect(await world.run()).toBe(0);
    expect(world.double.works(at(world.double.clients, 0).clientId, world.stored())).toBe(true);
  });

  it('does a creation whose response is lost in one run, says that it tries again, and ends with 0', async () => {
    world.output.length = 0;
    world.double.fault = { at: 2, fault: 'lost' };
    expect(await world.run()).toBe(0);
    expect(world.output.filter((line) => line.includes(': retrying '))).toEqual(['IAM_UNAVAILABLE: retrying in 1 s\n']);
    expect(writes().filter((call) => call === 'POST /v1/clients')).toHaveLength(1);
    expect(world.faultsOfResult()).toEqual([]);
  });

  it('sends no second creation for one that was executed and not heard of', async () => {
    world.double.fault = { at: 2, fault: 'lost' };
    expect(await refusal(world.run(impatient))).toContain('given up');
    world.double.fault = { at: world.double.calls.length + 8, fault: 'lost' };
    expect(await refusal(world.run(impatient))).toContain('given up');
    expect(await world.run()).toBe(0);
    expect(writes().filter((call) => call === 'POST /v1/clients')).toHaveLength(1);
    expect(writes().filter((call) => call.endsWith('/secrets'))).toHaveLength(1);
    expect(world.faultsOfResult()).toEqual([]);
  });

  it('believes a policy conflict once it has seen the policy', async () => {
    await world.run();
    let asked = 0;
    const stale: typeof world.iam.policies = async function* (filter) {
      asked += 1;
      if (asked > 1) yield* world.iam.policies(filter);
    };
    expect(await world.run({ iam: { ...world.iam, policies: stale } })).toBe(0);
    expect(world.double.policies).toHaveLength(2);
    const blind: typeof world.iam.policies = async function* () {
      yield* [];
    };
    expect(await refusal(world.run({ iam: { ...world.iam, policies: blind } }))).toContain('IAM_CONFLICT POST');
  });

  it('leaves a journal that a rotation goes on with', async () => {
    await world.run();
    const [old] = world.double.secrets;
    const opened = await createFileStore(join(world.folder.path, 'secret')).open();
    const outcome = await rotate({
      clientId: at(world.double.clients, 0).clientId,
      store: opened,
      iam: world.iam,
      trySecret: async (secret) =>
        world.double.works(at(world.double.clients, 0).clientId, secret.reveal()) ? 'accepted' : 'refused',
      policy: { secretLifetime: 1e9, overlap: 0, verifyFor: 1000 },
      clock: { now: () => Date.now(), sleep: async () => undefined },
    });
    await opened.close();
    expect(outcome.kind).toBe('rotated');
    expect(world.double.secrets).toHaveLength(1);
    expect(world.double.secrets[0]?.clientSecretId).not.toBe(old?.clientSecretId);
    expect(world.double.works(at(world.double.clients, 0).clientId, world.stored())).toBe(true);
    world.double.calls.length = 0;
    expect(await world.run()).toBe(0);
    expect(writes()).toEqual([]);
  });

  it('never prints the secret', async () => {
    await world.run();
    await world.run();
    expect(world.output.join('')).not.toContain(world.stored());
    expect(readFileSync(join(world.folder.path, 'secret.rotation'), 'utf8')).not.toContain(world.stored());
  });
});

const BODY: StoredClient = {
  clientId: '',
  name: 'My ERP',
  description: 'Pays the bills',
  allowedGrantTypes: ['client_credentials'],
  allowedScopes: ['api'],
  redirectUris: [],
};

const writes = () => world.double.calls.filter((call) => !call.startsWith('GET '));

function at<T>(list: readonly T[], index: number): T {
  const item = list[index];
  if (item === undefined) throw new Error(`nothing at ${index}`);
  return item;
}

/** Code and problems of what it throws. */
async function refusal(running: Promise<number>): Promise<string> {
  try {
    return `exit ${await running}`;
  } catch (error) {
    if (!(error instanceof SidecarError)) throw error;
    const { problems = [], fields = {} } = error.extras;
    const told = problems.map(({ where, message }) => `${where}: ${message}`);
    return [error.code, ...told, ...Object.values(fields)].join(' ');
  }
}
