/** Whatever a token endpoint says: the source stays sane, and status, page, metrics and the doctor can tell of it. */
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { gauges } from '../../src/admin/gauges.ts';
import { status } from '../../src/admin/status.ts';
import type { StatusInput } from '../../src/admin/status-input.ts';
import { doubts, isLongLived } from '../../src/check/claims.ts';
import { interpretTokenResponse } from '../../src/oauth/token-response.ts';
import { TokenSource } from '../../src/oauth/token-source.ts';
import { createFakeClock } from '../support/clock.ts';
import { ok } from '../support/raw.ts';
import { startTestSidecar } from '../support/sidecar.ts';
import { startTokenServer } from '../support/token-server.ts';
import { startUpstream } from '../support/upstream.ts';

const KEY = { credential: 'default', scope: 'api', audience: undefined, resource: undefined };
const DAY_MS = 86_400_000;

/** A value as it may stand in JSON, raw: what `JSON.stringify` cannot write, servers can. */
const raw = fc.oneof(
  fc.constantFrom(
    '1e999',
    '-1e999',
    '1e308',
    '-1e308',
    '0',
    '-0',
    '-1',
    '1',
    '3600',
    '1.5',
    '"3600"',
    '"1e999"',
    '""',
    '" "',
  ),
  fc.constantFrom(
    'true',
    'false',
    'null',
    '[]',
    '{}',
    '[3600]',
    '{"a":{"b":[1]}}',
    '{"toString":null,"valueOf":1}',
    '"NaN"',
    '"__proto__"',
    '8640000000000001',
  ),
  fc.integer({ min: 1_600_000_000, max: 1_900_000_000 }).map(String),
  fc.json({ maxDepth: 2 }),
);
const claims = fc.record(
  { exp: raw, iat: raw, nbf: raw, aud: raw, iss: raw, scope: raw, scp: raw },
  { requiredKeys: [] },
);

function jwt(parts: Readonly<Record<string, string>>): string {
  const body = `{${Object.entries(parts).map(([name, value]) => `"${name}":${value}`)}}`;
  return `${Buffer.from('{"alg":"none"}').toString('base64url')}.${Buffer.from(body).toString('base64url')}.c2ln`;
}

const response = fc
  .tuple(claims, fc.option(raw, { nil: undefined }), fc.option(raw, { nil: undefined }), fc.boolean())
  .map(([parts, expiresIn, scope, isOpaque]) => {
    const token = isOpaque ? 'opaque' : jwt(parts);
    const further = [
      ...(expiresIn === undefined ? [] : [`,"expires_in":${expiresIn}`]),
      ...(scope === undefined ? [] : [`,"scope":${scope}`]),
    ];
    return `{"access_token":"${token}","token_type":"Bearer"${further.join('')}}`;
  });

function snapshotOf(source: TokenSource, now: number): StatusInput {
  return {
    ...{
      version: '',
      environment: '',
      startedAt: now,
      now,
      listening: true,
      draining: false,
      startup: 'lenient',
      inFlight: 0,
    },
    ...{
      logLinesLost: 0,
      warnings: [],
      unsafe: [],
      generation: 1,
      lastReload: undefined,
      routes: [],
      recentErrors: [],
      errorGroups: [],
      unknownOutcomes: [],
      upstreams: [],
    },
    credentials: [{ name: 'default', clientId: 'erp', secrets: [] }],
    tokens: [source.snapshot()],
  };
}

describe('a source, whatever its token endpoint says', () => {
  it('has a finite life of a day at most, looks again within it, and can be told of', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(response, { minLength: 1, maxLength: 4 }), async (bodies) => {
        const clock = createFakeClock();
        const nothing = () => undefined;
        let asked = 0;
        const source = new TokenSource(KEY, {
          async fetchToken() {
            const body = bodies[asked % bodies.length] ?? '';
            asked += 1;
            return interpretTokenResponse({ status: 200, headers: {}, body }, clock.now().wallMs);
          },
          events: { lookup: nothing, obtained: nothing, failed: nothing },
          ...{ refreshBeforeMs: 300_000, waitMs: 10_000, clock, random: () => 0.5 },
        });
        await clock.advance(0);
        for (let step = 0; step < 3; step += 1) {
          const { wallMs } = clock.now();
          const { state, expiresAt, refreshAt } = source.snapshot();
          if (state !== 'none') expect(Number(expiresAt) - wallMs).toBeLessThanOrEqual(DAY_MS);
          expect(Number(refreshAt) - wallMs).toBeGreaterThan(0);
          expect(Number(refreshAt) - wallMs).toBeLessThanOrEqual(DAY_MS);
          expect(JSON.stringify(status(snapshotOf(source, wallMs)))).not.toMatch(/NaN|Infinity/);
          for (const { value } of gauges(snapshotOf(source, wallMs))) expect(value).toSatisfy(Number.isFinite);
          const before = asked;
          await clock.advance(10_000);
          expect(asked - before).toBeLessThanOrEqual(11);
        }
        source.close();
      }),
      { numRuns: 200 },
    );
  });

  it('is doubted in words by the doctor, which never throws', () => {
    fc.assert(
      fc.property(response, (body) => {
        const judged = interpretTokenResponse({ status: 200, headers: {}, body }, Date.UTC(2026, 0, 1));
        if (judged.kind !== 'token') return;
        const target = { scope: 'api', audience: 'api', resource: undefined };
        const issued = {
          authorization: judged.authorization,
          body,
          target,
          issuer: 'https://id.example',
          now: Date.UTC(2026, 0, 1),
        };
        isLongLived(issued);
        for (const { message } of doubts(issued)) expect(message).not.toMatch(/(?:NaN|Infinity|undefined) s\b/);
      }),
      { numRuns: 1000 },
    );
  });
});

const IAT = Math.floor(Date.UTC(2026, 0, 1) / 1000);

describe('a JWT with claims that are no times', () => {
  const lifeOf = (parts: Readonly<Record<string, string>>, expiresIn = '3600') => {
    const body = `{"access_token":"${jwt(parts)}","token_type":"Bearer","expires_in":${expiresIn}}`;
    const judged = interpretTokenResponse({ status: 200, headers: {}, body }, IAT * 1000 + 250);
    return judged.kind === 'token' ? judged.lifetimeS : judged.result;
  };

  it.each(['"1767225600"', '{}', '[1767225600]', '1e999', '-1e999', 'null', 'true'])(
    'iat %s: it counts as absent',
    (iat) => {
      expect(lifeOf({ iat, exp: String(IAT + 60) })).toBe(59);
    },
  );

  it.each(['"1767225660"', '{}', '[1]', '1e999', '-1e999', 'null'])(
    'exp %s: the response’s own lifetime counts',
    (exp) => {
      expect(lifeOf({ iat: String(IAT), exp })).toBe(3600);
    },
  );

  it.each(['1e308', '1e999'])('expires_in %s: a day', (expiresIn) => expect(lifeOf({}, expiresIn)).toBe(86_400));

  it('is used for what its whole seconds hide less', () => {
    const body = `{"access_token":"${jwt({ iat: String(IAT), exp: String(IAT + 8) })}","token_type":"Bearer","expires_in":8}`;
    const roundedOff = (lateMs: number) => {
      const judged = interpretTokenResponse({ status: 200, headers: {}, body }, IAT * 1000 + lateMs);
      return judged.kind === 'token' ? judged.roundedOffS : undefined;
    };
    expect([0, 250, 999, 1000, 60_000, -5].map(roundedOff)).toEqual([0, 0.25, expect.closeTo(0.999), 1, 1, 1]);
  });
});

it('a whole sidecar tells of every such token: /status, the page, /metrics and /readyz are 200', async () => {
  const upstream = await startUpstream(() => ok('fine'));
  const tokens = await startTokenServer();
  const sidecar = await startTestSidecar({ upstream: upstream.url, tokenEndpoint: tokens.url });
  onTestFinished(async () => {
    await sidecar.stop();
    await tokens.close();
    await upstream[Symbol.asyncDispose]();
  });
  for (const body of fc.sample(response, { numRuns: 25, seed: 4711 })) {
    tokens.answerWith((res) => res.writeHead(200, { 'Content-Type': 'application/json' }).end(body));
    await fetch(`${sidecar.adminUrl}/token/refresh`, { method: 'POST' });
    for (const path of ['/status', '/', '/metrics']) {
      const told = await fetch(sidecar.adminUrl + path);
      expect([path, told.status, (await told.text()).includes('NaN')]).toEqual([path, 200, false]);
    }
  }
});
