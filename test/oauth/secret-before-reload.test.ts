/** The client secret from before a reload that nobody has asked with yet: the server was away, or other members of a fleet had a token. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { systemClock } from '../../src/core/clock.ts';
import type { Credential } from '../../src/oauth/credential.ts';
import { createIdentity } from '../../src/oauth/credentials.ts';
import { grant, json, startTokenServer } from '../support/token-server.ts';

const TARGET = { scope: 'api', audience: undefined, resource: undefined };

/** A server that accepts only that secret, and a file whose every new content is a reload. */
async function setUp(first: string) {
  let accepted = first;
  const tokens = await startTokenServer();
  tokens.answerWith((res, call, count) => {
    const isKnown = call.form.get('client_secret') === accepted;
    (isKnown ? grant(`token-${count}`) : json(400, { error: 'invalid_client' }))(res, call, count);
  });
  const folder = mkdtempSync(join(tmpdir(), 'aritma-reload-'));
  const [file, secretFile] = [join(folder, 'config.yaml'), join(folder, 'secret')];
  const settings = { tokenEndpoint: tokens.url, clientId: 'erp', scope: 'api', secrets: [{ file: secretFile }] };
  const routes = [{ path: '/api', upstream: 'http://127.0.0.1:9' }];
  writeFileSync(file, JSON.stringify({ credentials: { default: settings }, routes }));
  onTestFinished(async () => {
    rmSync(folder, { recursive: true, force: true });
    await tokens.close();
  });
  let previous: Credential | undefined;
  return {
    /** From now on the server accepts only this one. */
    accept(secret: string) {
      accepted = secret;
    },
    tried: () => tokens.calls.map(({ form }) => form.get('client_secret')),
    reload(secret: string): Credential {
      writeFileSync(secretFile, secret, { mode: 0o600 });
      const before = previous;
      const loaded = loadConfig({ file, env: {}, cwd: folder });
      const secretsNow = () => loaded.secretsNow('default');
      const identity = createIdentity({ loaded, clock: systemClock, previous: () => before, secretsNow });
      onTestFinished(() => identity.end('destroy'));
      previous = identity.credential('default');
      return previous;
    },
  };
}

const OLD = 'the-secret-before-0123456789';
const NEW = 'the-secret-that-is-not-known-yet-0123456789';

it('a client secret that works is in use after a reload that does not change it', async () => {
  const { reload } = await setUp(OLD);
  await reload(OLD).fetchToken(TARGET);
  expect(reload(OLD).secretsInUse()).toEqual([expect.objectContaining({ name: '1', inUse: true })]);
});

describe('a client secret that nobody has asked with before a reload', () => {
  it('is used while the server does not accept the new one', async () => {
    const { reload, tried } = await setUp(OLD);
    reload(OLD);
    const next = reload(NEW);
    expect(await next.fetchToken(TARGET)).toMatchObject({ kind: 'token' });
    expect(tried()).toEqual([NEW, OLD]);
    expect(next.secretsInUse().map(({ name, inUse }) => [name, inUse])).toEqual([
      ['1', false],
      ['replaced', true],
    ]);
  });

  it('is still there after another reload', async () => {
    const { reload } = await setUp(OLD);
    reload(OLD);
    reload(OLD);
    expect(await reload(NEW).fetchToken(TARGET)).toMatchObject({ kind: 'token' });
  });

  it('is used after several reloads with secrets that the server does not know', async () => {
    const { reload, tried } = await setUp(OLD);
    reload(OLD);
    reload('a-wrong-one-0123456789');
    reload('a-wrong-one-0123456789');
    expect(await reload(NEW).fetchToken(TARGET)).toMatchObject({ kind: 'token' });
    expect(tried()).toEqual([NEW, 'a-wrong-one-0123456789', OLD]);
  });

  it('is used after it was replaced by a wrong one, put right, and replaced by one that the server does not know yet', async () => {
    const { reload, tried } = await setUp(OLD);
    for (const secret of [OLD, 'a-wrong-one-0123456789', OLD]) reload(secret);
    expect(await reload(NEW).fetchToken(TARGET)).toMatchObject({ kind: 'token' });
    expect(tried().slice(0, 2)).toEqual([NEW, OLD]);
  });

  it('is the newest of those before, where there were several rotations, and at most three are kept', async () => {
    const { reload, tried } = await setUp('number-4-0123456789');
    for (const number of [1, 2, 3, 4]) reload(`number-${number}-0123456789`);
    const next = reload(NEW);
    expect(next.secretsInUse()).toHaveLength(4);
    expect(await next.fetchToken(TARGET)).toMatchObject({ kind: 'token' });
    expect(tried()).toEqual([NEW, 'number-4-0123456789']);
    expect(next.secretsInUse()).toHaveLength(2);
  });

  it('is used where an older one has worked, which is gone since', async () => {
    const { reload, tried, accept } = await setUp(OLD);
    await reload(OLD).fetchToken(TARGET);
    accept('number-2-0123456789');
    reload('number-2-0123456789');
    expect(await reload(NEW).fetchToken(TARGET)).toMatchObject({ kind: 'token' });
    expect(tried()).toEqual([OLD, NEW, 'number-2-0123456789']);
  });

  it('is not said to be in use, and is forgotten when the new one is accepted', async () => {
    const { reload, tried } = await setUp(NEW);
    reload(OLD);
    const next = reload(NEW);
    expect(next.secretsInUse().some(({ inUse }) => inUse)).toBe(false);
    await next.fetchToken(TARGET);
    expect(tried()).toEqual([NEW]);
    expect(next.secretsInUse()).toHaveLength(1);
  });

  it('is forgotten by a reload after the server has refused it', async () => {
    const { reload, tried } = await setUp('another-one-0123456789');
    const first = reload(OLD);
    await first.fetchToken(TARGET);
    expect(await reload(NEW).fetchToken(TARGET)).toMatchObject({ kind: 'rejected' });
    expect(tried()).toEqual([OLD, NEW]);
  });
});
