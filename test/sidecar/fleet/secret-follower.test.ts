// A member takes a secret over that another has rotated: into its file, or into memory; and says what it has.
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type LoadedConfig, loadConfig } from '../../../src/config/load.ts';
import { SidecarError } from '../../../src/core/errors.ts';
import { createLog } from '../../../src/core/log.ts';
import { Secret } from '../../../src/core/secret.ts';
import { createSealer } from '../../../src/fleet/seal.ts';
import { beginJournal, type Journal } from '../../../src/iam/rotation/journal.ts';
import { SecretFollower } from '../../../src/sidecar/fleet/secret-follower.ts';
import { SharedSecret, secretParts } from '../../../src/sidecar/fleet/shared-secret.ts';
import { createFakeClock } from '../../support/clock.ts';
import { createFolder } from '../../support/folder.ts';
import { newFleetKey } from '../../support/redis-member.ts';
import { RotationStore } from '../../support/rotation-store.ts';

const [OLD, NEW, NEWER] = ['the-old-secret', 'the-new-secret', 'the-newer-secret'] as const;
const fingerprint = (value: string) => new Secret(value).fingerprint();

type Source = { readonly file: string } | { readonly env: string };

/** A member, and another one that rotates. */
async function openWorld(sourceOf: (folder: string) => Source = (folder) => ({ file: join(folder, 'secret') })) {
  const folder = createFolder();
  onTestFinished(() => folder[Symbol.dispose]());
  folder.write('secret', `${OLD}\n`, 0o640);
  const config = {
    credentials: {
      default: { tokenEndpoint: 'https://id.example/connect/token', clientId: 'erp', secrets: [sourceOf(folder.path)] },
    },
    routes: [{ path: '/api', upstream: 'https://api.example' }],
  };
  const file = folder.write('config.json', JSON.stringify(config));
  const clock = createFakeClock();
  const store = new RotationStore(() => clock.now().wallMs);
  const sealer = createSealer([new Secret(newFleetKey())]);
  const lines: string[] = [];
  const log = createLog({ level: 'debug', format: 'json', write: (line) => lines.push(line) });
  const env = { SECRET: OLD };
  let loaded = loadConfig({ file, env });
  let news = 0;
  const onSecret = () => {
    news += 1;
  };
  const start = () => new SecretFollower({ ...store.access(sealer, 'host'), member: 'm', log, clock, onSecret });
  const world = {
    ...{ folder: folder.path, store, clock, lines, follower: start() },
    news: () => news,
    /** As the sidecar does it when the configuration has changed. */
    async reload() {
      loaded = world.follower.adopt(loaded.reload());
      await world.follower.use(loaded);
    },
    values: (of: LoadedConfig = loaded) => (of.secrets.get('default') ?? []).map(({ value }) => value.reveal()),
    secretsNow: () => loaded.secretsNow('default').map(({ value }) => value.reveal()),
    /** Gives the credential another client, with a secret of its own. */
    configure(credential: object, secret: string) {
      Object.assign(config.credentials.default, credential);
      folder.write('config.json', JSON.stringify(config));
      folder.write('secret', `${secret}\n`);
    },
    async restart() {
      world.follower = start();
      loaded = world.follower.adopt(loadConfig({ file, env }));
      await world.follower.use(loaded);
    },
  };
  await world.follower.use(loaded);
  const [settings] = Object.values(loaded.config.credentials);
  if (!settings) throw new Error('no credential');
  const rotator = new SharedSecret({
    ...{ ...store.access(sealer, 'rotator'), member: 'r', clock, parts: secretParts(settings) },
  });
  const note = async (journal: object, fleet: object = {}) => {
    await clock.advance(1000);
    const revision = clock.now().wallMs;
    const { client } = rotator;
    const shared = { client, revision, places: [], ...fleet };
    const noted = { ...beginJournal('erp', 1), ...journal, fleet: shared };
    await rotator.journal.write(noted);
    return noted;
  };
  return { ...world, world, note, journalKey: `test:{${rotator.journal.name}}:journal` };
}

const attempt = (phase: string, value: string = NEW) => ({
  ...{ phase, value, description: 'd', expiresAt: 9e12, startedAt: 1, retire: ['id'], retireAt: 9e12 },
});

describe('a member whose secret is in a file', () => {
  it('writes a promoted one into it, with mode and owner, and its journal beside, and reads it', async () => {
    const { folder, world, note, news } = await openWorld();
    await note({ attempt: attempt('promoted') });
    await world.follower.look();
    const { mode, uid } = statSync(join(folder, 'secret'));
    expect([readFileSync(join(folder, 'secret'), 'utf8'), (mode & 0o777).toString(8), uid]).toEqual([
      `${NEW}\n`,
      '640',
      process.getuid?.(),
    ]);
    const journal = JSON.parse(readFileSync(join(folder, 'secret.rotation'), 'utf8')) as Journal;
    expect(journal.attempt?.value).toBe(NEW);
    expect(news()).toBe(1);
    await world.reload();
    expect(world.values()).toEqual([NEW]);
    expect(world.follower.holdings()).toMatchObject([{ secrets: [fingerprint(NEW)], isKept: true }]);
  });

  it.each(['creating', 'created', 'verified', 'abandoned'])(
    'leaves it alone while a new one is only %s',
    async (phase) => {
      const { folder, world, note, news } = await openWorld();
      await note({ attempt: attempt(phase) });
      await world.follower.look();
      expect([readFileSync(join(folder, 'secret'), 'utf8'), news()]).toEqual([`${OLD}\n`, 0]);
    },
  );

  it('cleans its journal when the rotation is over, so that the value is nowhere but in its file', async () => {
    const { folder, world, note } = await openWorld();
    await note({ attempt: attempt('promoted') });
    await world.follower.look();
    await world.reload();
    await note({ rotatedAt: 5 });
    await world.follower.look();
    expect(readFileSync(join(folder, 'secret.rotation'), 'utf8')).not.toContain(NEW);
    expect(readFileSync(join(folder, 'secret'), 'utf8')).toBe(`${NEW}\n`);
  });

  it('takes it over at news of its own entry, not at news of another', async () => {
    const { folder, world, note } = await openWorld();
    await note({ attempt: attempt('promoted') });
    await world.follower.look('another');
    expect(readFileSync(join(folder, 'secret'), 'utf8')).toBe(`${OLD}\n`);
    await world.follower.look();
    expect(readFileSync(join(folder, 'secret'), 'utf8')).toBe(`${NEW}\n`);
  });

  it('is told and read once, and not overruled, where somebody puts the old one back', async () => {
    const { folder, world, note, lines, news } = await openWorld();
    await note({ attempt: attempt('promoted') });
    await world.follower.look();
    writeFileSync(join(folder, 'secret'), `${OLD}\n`);
    for (let looks = 0; looks < 3; looks += 1) await world.follower.look();
    expect([news(), lines.filter((line) => line.includes('taken over')).length]).toEqual([1, 1]);
    expect(readFileSync(join(folder, 'secret'), 'utf8')).toBe(`${OLD}\n`);
  });

  it('does not overrule, after its restart, who has put another secret there: IAM may have the new one no more', async () => {
    const { folder, world, note, news } = await openWorld();
    await note({ attempt: attempt('promoted') });
    await world.follower.look();
    writeFileSync(join(folder, 'secret'), 'by-hand\n');
    await world.restart();
    await world.follower.look();
    expect([readFileSync(join(folder, 'secret'), 'utf8'), world.values(), news()]).toEqual([
      'by-hand\n',
      ['by-hand'],
      1,
    ]);
  });

  it('does not overrule people either when it has made and stored the new secret itself', async () => {
    const { folder, world, note } = await openWorld();
    await world.follower.look();
    const journal = await note({ attempt: attempt('promoted') });
    writeFileSync(join(folder, 'secret.rotation'), JSON.stringify(journal));
    writeFileSync(join(folder, 'secret'), 'by-hand\n');
    await world.reload();
    await world.follower.look();
    expect(readFileSync(join(folder, 'secret'), 'utf8')).toBe('by-hand\n');
  });

  it('takes it over after its restart, when it was killed before the secret was written', async () => {
    const { folder, world, note } = await openWorld();
    await note({ attempt: attempt('promoted') });
    await world.follower.look();
    writeFileSync(join(folder, 'secret'), `${OLD}\n`);
    const journal = JSON.parse(readFileSync(join(folder, 'secret.rotation'), 'utf8')) as Journal;
    const killed = { ...journal, fleet: { ...journal.fleet, revision: Number(journal.fleet?.revision) - 1 } };
    writeFileSync(join(folder, 'secret.rotation'), JSON.stringify(killed));
    await world.restart();
    await world.follower.look();
    expect(readFileSync(join(folder, 'secret'), 'utf8')).toBe(`${NEW}\n`);
  });

  it('puts the journal back that it has on its disk, after its restart, when the store has lost it', async () => {
    const { world, store, note, journalKey } = await openWorld();
    await note({ attempt: attempt('promoted') });
    await world.follower.look();
    store.wipe();
    await world.restart();
    await world.follower.look();
    expect(store.get(journalKey)).toMatch(/^\d+:eyJ/);
  });

  it('has it in memory, and tells that loudly, where the file cannot be replaced', async () => {
    const { folder, world, note, lines, news } = await openWorld();
    await note({ attempt: attempt('promoted') });
    // No journal can be written where a folder has its name.
    mkdirSync(join(folder, 'secret.rotation'));
    writeFileSync(join(folder, 'secret.rotation', 'in-the-way'), '');
    await world.follower.look();
    expect(lines.join('')).toContain('but only in memory');
    expect(lines.join('')).toMatch(/"reason":"replace \S+secret\.rotation \w+"/);
    await world.reload();
    expect([world.values(), world.secretsNow(), news()]).toEqual([[NEW, OLD], [NEW, OLD], 1]);
    expect(world.follower.holdings()).toMatchObject([{ isKept: false }]);
    await world.follower.look();
    expect(lines.filter((line) => line.includes('only in memory'))).toHaveLength(1);
    // As soon as the file has it, it is no longer in memory only.
    writeFileSync(join(folder, 'secret'), `${NEW}\n`);
    await world.reload();
    expect([world.values(), world.follower.holdings()]).toMatchObject([[NEW], [{ isKept: true }]]);
  });

  it('does nothing, and tells nobody wrong, while the store cannot be used', async () => {
    const { world, store, note, news } = await openWorld();
    await note({ attempt: attempt('promoted') });
    store.fault = new SidecarError('ROTATION_STORE_FAILED');
    await world.follower.look();
    expect(news()).toBe(0);
    store.fault = undefined;
    await world.follower.look();
    expect(news()).toBe(1);
  });
});

const OTHER_CLIENT = { clientId: 'erp-2' };
const OTHER_SERVER = { tokenEndpoint: 'https://id.example/another/token' };

describe('a member whose credential gets another client', () => {
  it.each([OTHER_CLIENT, OTHER_SERVER])(
    'tells nobody of the journal that the one before has left beside the secret: %j',
    async (other) => {
      const { folder, world, note, store } = await openWorld();
      await note({ attempt: attempt('promoted') });
      await world.follower.look();
      store.wipe();
      world.configure(other, 'secret-of-another');
      await world.restart();
      await world.follower.look();
      expect([store.names(), world.values()]).toEqual([[], ['secret-of-another']]);
      expect(readFileSync(join(folder, 'secret'), 'utf8')).toBe('secret-of-another\n');
    },
  );

  it.each([OTHER_CLIENT, OTHER_SERVER])(
    'does not send it the secret that it had in memory for the one before: %j',
    async (other) => {
      const { world, note } = await openWorld(() => ({ env: 'SECRET' }));
      await note({ attempt: attempt('promoted') });
      await world.follower.look();
      await world.reload();
      world.configure(other, 'secret-of-another');
      await world.reload();
      // The environment of a process does not change.
      expect([world.values(), world.secretsNow()]).toEqual([[OLD], [OLD]]);
    },
  );
});

describe('a member whose secret moves to another file', () => {
  it('writes the new one there, too, while its rotation is under way', async () => {
    const { folder, world, note } = await openWorld();
    await note({ attempt: attempt('promoted') });
    await world.follower.look();
    await world.reload();
    writeFileSync(join(folder, 'moved'), `${OLD}\n`);
    world.configure({ secrets: [{ file: join(folder, 'moved') }] }, OLD);
    await world.reload();
    await world.follower.look();
    expect(readFileSync(join(folder, 'moved'), 'utf8')).toBe(`${NEW}\n`);
  });
});

describe('a store that is no store of a fleet', () => {
  it.each([null, 0, 'OK', {}, [{}, {}]])('does not end the looks of a member by its reply %j', async (reply) => {
    const { world, store, note, news, lines } = await openWorld();
    await note({ attempt: attempt('promoted') });
    store.reply = () => reply;
    await world.follower.look();
    store.reply = undefined;
    await world.follower.look();
    expect([news(), lines.join('').includes(NEW)]).toEqual([1, false]);
  });
});

describe('a member whose secret is in the environment', () => {
  const inEnvironment = () => openWorld(() => ({ env: 'SECRET' }));

  it('has a promoted one in memory, before the configured one, and says that it would not outlive a restart', async () => {
    const { world, note } = await inEnvironment();
    await note({ attempt: attempt('promoted') });
    await world.follower.look();
    await world.reload();
    expect([world.values(), world.secretsNow()]).toEqual([
      [NEW, OLD],
      [NEW, OLD],
    ]);
    expect(world.follower.holdings()).toMatchObject([{ secrets: [NEW, OLD].map(fingerprint), isKept: false }]);
  });

  it('gets it again after a restart from what the store keeps, behind the configured one, which may be newer', async () => {
    const { world, note } = await inEnvironment();
    await note({ rotatedAt: 5 }, { kept: NEW });
    await world.restart();
    await world.follower.look();
    await world.reload();
    expect(world.values()).toEqual([OLD, NEW]);
  });

  it('has only the last one of several rotations', async () => {
    const { world, note } = await inEnvironment();
    for (const value of [NEW, NEWER]) {
      await note({ attempt: attempt('promoted', value) });
      await world.follower.look();
      await world.reload();
    }
    expect(world.values()).toEqual([NEWER, OLD]);
  });
});
