/** Secrets that change while they are refused: their sources are read again before anybody is told no. */
import { writeFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import fc from 'fast-check';
import type { Dispatcher } from 'undici';
import { describe, expect, it } from 'vitest';
import { Secret } from '../../src/core/secret.ts';
import { CLIENT_AUTH } from '../../src/oauth/client-auth.ts';
import { createCredential } from '../../src/oauth/credential.ts';
import type { ClientSecret } from '../../src/oauth/secret-failover.ts';
import { createFakeClock } from '../support/clock.ts';
import { createProxyWorld } from '../support/proxy-world.ts';
import { TEST_SECRET } from '../support/sidecar.ts';
import { grant, json } from '../support/token-server.ts';

const TARGET = { scope: 'api', audience: undefined, resource: undefined };

function secrets(values: readonly string[]): ClientSecret[] {
  return values.map((value, index) => ({
    name: String(index + 1),
    fingerprint: `fingerprint-${value}`,
    authenticate: CLIENT_AUTH.client_secret_post({ clientId: 'my-erp', secret: new Secret(value) }),
  }));
}

interface World {
  /** What is in the sources, by how often they have been read; the last stays. */
  readonly reads: readonly (readonly string[])[];
  /** Whether the server accepts that secret as its nth. */
  readonly accepts: (value: string, nth: number) => boolean;
  readonly result?: string;
}

function setUp({ reads, accepts }: World) {
  const tried: string[] = [];
  const verdicts: string[] = [];
  let read = 0;
  const request = async ({ body }: { body: string }) => {
    const value = new URLSearchParams(body).get('client_secret') ?? '';
    tried.push(value);
    const token = { access_token: 'token', token_type: 'Bearer', expires_in: 3600 };
    const answer = accepts(value, tried.length) ? token : { error: 'invalid_client' };
    return { statusCode: 200, headers: {}, body: Readable.from([Buffer.from(JSON.stringify(answer))]) };
  };
  const at = (index: number) => reads[Math.min(index, reads.length - 1)] ?? [];
  const credential = createCredential({
    name: 'default',
    clientSecrets: secrets(at(0)),
    secretsNow: () => secrets(at(++read)),
    locate: async () => ({ dispatcher: { request } as unknown as Dispatcher, path: '/', audience: '' }),
    deadlineMs: 5000,
    clock: createFakeClock(),
    onVerdict: (name, verdict) => verdicts.push(`${name} ${verdict}`),
  });
  return { credential, tried, verdicts, last: () => at(read) };
}

describe('src/oauth/credential.ts: a secret that was replaced', () => {
  it('a moment ago is tried within the same fetch, and nobody hears that the old one is refused', async () => {
    const { credential, tried, verdicts } = setUp({ reads: [['old'], ['new']], accepts: (value) => value === 'new' });
    expect((await credential.fetchToken(TARGET)).kind).toBe('token');
    expect(tried).toEqual(['old', 'new']);
    expect(verdicts).toEqual(['1 accepted']);
    expect(credential.secretsInUse()).toEqual([{ name: '1', fingerprint: 'fingerprint-new', inUse: true }]);
  });

  it('twice while it was read is tried in its last form', async () => {
    const { credential, tried } = setUp({ reads: [['a'], ['b'], ['c']], accepts: (value) => value === 'c' });
    expect((await credential.fetchToken(TARGET)).kind).toBe('token');
    expect(tried).toEqual(['a', 'b', 'c']);
  });

  it('is tried before the second of the list, which is left alone', async () => {
    const { credential, tried } = setUp({
      reads: [
        ['old', 'second'],
        ['new', 'second'],
      ],
      accepts: (value) => value !== 'old',
    });
    expect((await credential.fetchToken(TARGET)).kind).toBe('token');
    expect(tried).toEqual(['old', 'new']);
  });

  it('is refused with one try where its sources hold what they held', async () => {
    const { credential, tried, verdicts } = setUp({ reads: [['same']], accepts: () => false });
    expect(await credential.fetchToken(TARGET)).toEqual({ kind: 'rejected', result: 'invalid_client' });
    expect([tried, verdicts]).toEqual([['same'], ['1 refused']]);
  });

  it('under a source that changes at every look is not tried for ever', async () => {
    const reads = Array.from({ length: 50 }, (_none, index) => [`value-${index}`]);
    const { credential, tried } = setUp({ reads, accepts: () => false });
    expect((await credential.fetchToken(TARGET)).kind).toBe('rejected');
    expect(tried.length).toBeLessThanOrEqual(8);
  });

  it('is refused only when all that was read last was tried, each once, whatever changes in between', async () => {
    const value = fc.constantFrom('a', 'b', 'c', 'd');
    const list = fc.uniqueArray(value, { minLength: 1, maxLength: 3 });
    const accepted = fc.array(fc.subarray(['a', 'b', 'c', 'd']), { minLength: 1, maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(list, { minLength: 1, maxLength: 6 }),
        accepted,
        fc.integer({ min: 1, max: 3 }),
        async (reads, by, times) => {
          const { credential, tried, last } = setUp({
            reads,
            accepts: (one, nth) => by[(nth - 1) % by.length]?.includes(one) ?? false,
          });
          for (let time = 0; time < times; time += 1) {
            const before = tried.length;
            const { kind } = await credential.fetchToken(TARGET);
            const now = tried.slice(before);
            expect(new Set(now).size).toBe(now.length);
            if (kind === 'rejected') expect(now).toEqual(expect.arrayContaining([...last()]));
            else expect(kind).toBe('token');
            expect(credential.secretsInUse().filter(({ inUse }) => inUse).length).toBe(kind === 'token' ? 1 : 0);
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  it('in its file serves callers of a whole sidecar without a 503, whatever the watch has seen', async () => {
    await using world = await createProxyWorld();
    let good = TEST_SECRET;
    world.tokens.answerWith((res, call, count) =>
      (call.form.get('client_secret') === good ? grant(`token-${count}`) : json(401, { error: 'invalid_client' }))(
        res,
        call,
        count,
      ),
    );
    for (const next of ['secret-number-two', 'secret-number-three']) {
      good = next;
      writeFileSync(world.sidecar.secretFile, `${next}\n`);
      const [refreshed, called] = await Promise.all([
        fetch(`${world.sidecar.adminUrl}/token/refresh`, { method: 'POST' }),
        world.call('POST /api/x HTTP/1.1', 'Content-Length: 2\r\n\r\nhi'),
      ]);
      expect([refreshed.ok, called.status]).toEqual([true, 200]);
    }
    expect(world.sidecar.rawLogs.join('')).not.toMatch(/secret-number|secret refused/);
  });

  it('by half a file, or no file, counts as it was', async () => {
    await using world = await createProxyWorld({ config: { token: { waitTimeout: '900ms' } } });
    world.tokens.answerWith(json(401, { error: 'invalid_client' }));
    writeFileSync(world.sidecar.secretFile, '');
    await fetch(`${world.sidecar.adminUrl}/token/refresh`, { method: 'POST' });
    expect(world.tokens.calls.map(({ form }) => form.get('client_secret'))).toEqual([TEST_SECRET, TEST_SECRET]);
    expect((await world.call('GET /api/x HTTP/1.1')).header('x-sidecar-error')).toBe('CREDENTIALS_REJECTED');
  });
});
