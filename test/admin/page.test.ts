// The page as a function of the status: what it says, and that nothing in the status becomes markup. Over the wire: what
// it is sent with, its form, and that no secret, token, path or query is in it.
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ErrorGroup, RecentError } from '../../src/admin/error-history.ts';
import { PAGE_HEADERS, renderMain, renderPage } from '../../src/admin/page.ts';
import { status } from '../../src/admin/status.ts';
import type { StatusInput, TokenView } from '../../src/admin/status-input.ts';
import { ERRORS } from '../../src/core/errors.ts';
import { createAdminWorld } from '../support/admin-world.ts';
import { createFolder } from '../support/folder.ts';
import { TEST_SECRET } from '../support/sidecar.ts';
import { grant, json } from '../support/token-server.ts';

const NOW = Date.UTC(2026, 0, 1, 12);
const MINUTE = 60_000;

const TOKEN: TokenView = {
  key: { credential: 'default', scope: 'api' },
  state: 'fresh',
  expiresAt: NOW + 60 * MINUTE,
  refreshAt: NOW + 55 * MINUTE,
  lastSuccessAt: NOW - 1000,
  lastError: undefined,
  consecutiveFailures: 0,
  generation: 7,
};

const REFUSED = {
  state: 'none',
  expiresAt: undefined,
  refreshAt: NOW + 10 * MINUTE,
  lastError: { code: 'CREDENTIALS_REJECTED', result: 'invalid_client', at: NOW - 3 * MINUTE },
  consecutiveFailures: 3,
} as const;

const ERROR: RecentError = {
  at: NOW,
  route: '/banking',
  code: 'UPSTREAM_TIMEOUT',
  status: 504,
  method: 'POST',
  requestId: 'r-1',
};

const groupOf = (error: Partial<RecentError>, count = 1, firstAt = NOW): ErrorGroup => ({
  count,
  firstAt,
  latest: { ...ERROR, ...error },
});

function route(path: string, credential: string): StatusInput['routes'][number] {
  const last5m = { requests: 20, errors: 1, p50Ms: 12.3, p99Ms: 2345 };
  const last30m = { requests: [...Array(29).fill(0), 20], errors: [...Array(29).fill(0), 1] };
  const upstream = `https://api.example${path}`;
  return {
    path,
    upstream,
    credential,
    scope: 'api',
    allow: undefined,
    history: { last5m, last30m, last: { successAt: NOW, failure: undefined, failingSince: undefined } },
  };
}

function input(rest: Partial<StatusInput> = {}, tokens: readonly Partial<TokenView>[] = [{}]): StatusInput {
  return {
    version: '1.2.3',
    environment: 'dev',
    startedAt: NOW - 90 * MINUTE,
    now: NOW,
    listening: true,
    draining: false,
    startup: 'lenient',
    inFlight: 2,
    generation: 4,
    lastReload: undefined,
    logLinesLost: 0,
    warnings: [],
    unsafe: [],
    recentErrors: [],
    errorGroups: [],
    unknownOutcomes: [],
    routes: [route('/banking', 'default')],
    credentials: [{ name: 'default', clientId: 'erp', secrets: [{ name: '1', fingerprint: 'abcd1234', inUse: true }] }],
    tokens: tokens.map((token) => ({ ...TOKEN, ...token })),
    upstreams: [{ origin: 'https://api.example', connected: 3, running: 1, queued: 0 }],
    ...rest,
  };
}

const page = (given: StatusInput, actions = false) => renderPage(status(given), { actions });

/** What a person reads. */
function text(html: string): string {
  const body = html.replace(/<(style|script)>.*?<\/\1>/gs, '').replace(/<[^>]*>/g, ' ');
  return body
    .replace(/\s+/g, ' ')
    .replaceAll('&#39;', "'")
    .replace(/ ([.,;:)])/g, '$1');
}

/** Names of elements and attributes: what markup there is, whatever stands in it. */
function skeleton(html: string): string[] {
  const tags = html.matchAll(/<(\/?[a-z][a-z0-9]*)((?:\s+[a-z-]+(?:="[^"]*")?)*)\s*\/?>/gi);
  return [...tags].map(([, name, rest = '']) => `${name} ${[...rest.matchAll(/([a-z-]+)="/gi)].map(([, one]) => one)}`);
}

describe('admin/page: what it says', () => {
  it('says yes, until when, and when the token refreshes itself', () => {
    const read = text(page(input()));
    expect(read).toContain('Can the API be called now? Yes Calls to every route work, as far as is known.');
    expect(read).toContain('The token expires at 13:00:00 UTC, in 60 minutes.');
    expect(read).toContain('The sidecar refreshes it at about 12:55:00 UTC, in 55 minutes; calls go on.');
    expect(read).toContain('Last problem None since the start.');
  });

  it('says yes with a warning while refreshes fail and the token is valid, and what will happen', () => {
    const read = text(page(input({}, [{ state: 'early', lastError: REFUSED.lastError, consecutiveFailures: 2 }])));
    expect(read).toContain(
      'now? Yes, with a warning /banking works, with a warning: The token is valid until 13:00 UTC,',
    );
    expect(read).toContain(
      'Since 11:57:00 UTC, 3 minutes ago. What to do: It does not accept client id, client secret, grant',
    );
    expect(read).toContain('The refresh has failed 2 times; the next try is at about 12:55:00 UTC');
  });

  it('says no, for which routes, why, what to do, and when the next try is', () => {
    const read = text(page(input({}, [REFUSED])));
    expect(read).toContain(
      `now? No /banking fails: ${ERRORS.CREDENTIALS_REJECTED.title}. Since 11:57:00 UTC, 3 minutes ago. What to do: `,
    );
    expect(read).toContain('There is no valid token. The next try is at about 12:10:00 UTC, in 10 minutes.');
    expect(read).toContain(
      `${ERRORS.CREDENTIALS_REJECTED.title} ( CREDENTIALS_REJECTED), the token of credential default`,
    );
    expect(read).toContain('Run aritma-sidecar check.');
    expect(read).toContain('11:57:00 UTC, 3 minutes ago');
  });

  it('names the identity server that refuses', () => {
    const host = 'id.example:443';
    const failure = {
      cause: 'token_invalid_client',
      host,
      message: 'refused (invalid_client)',
      fix: 'correct the secret',
    };
    const read = text(page(input({}, [{ ...REFUSED, lastError: { ...REFUSED.lastError, failure } }])));
    expect(read).toContain(`the token of credential default from ${host}`);
    expect(read).toContain(`invalid_client, ${host})`);
  });

  it('says that it works in part where one of two credentials fails', () => {
    const other = { name: 'other', clientId: 'x', secrets: [] };
    const [credential] = input().credentials;
    const given = input({ routes: [route('/a', 'default'), route('/b', 'other')] }, [
      {},
      { ...REFUSED, key: { credential: 'other', scope: 'api' } },
    ]);
    const read = text(page({ ...given, credentials: credential ? [credential, other] : [] }));
    expect(read).toContain(`now? Partly /b fails: ${ERRORS.CREDENTIALS_REJECTED.title}. Since`);
    expect(read).toContain('Run aritma-sidecar check. /a works.');
  });

  it('says for every route what is wrong with it: one account for routes that share it, failing ones first', () => {
    const failing = (path: string, cause: string, at = NOW - MINUTE) => {
      const failure = { cause, host: 'api.example:443', message: `${cause} at api.example:443`, fix: `mend ${cause}` };
      const error = {
        at,
        status: 502,
        code: ERROR.code,
        failure,
        agoMs: NOW - at,
        inARow: 1,
        calls5m: 20,
        failed5m: 1,
      };
      const { history, ...rest } = route(path, 'default');
      return { ...rest, history: { ...history, last: { successAt: 1, failure: error, failingSince: at } } };
    };
    const [a, b] = [failing('/a', 'dns'), failing('/b', 'dns', NOW - 2 * MINUTE)];
    const partly = failing('/c', 'refused', NOW - 3 * MINUTE);
    const warned = {
      ...partly,
      history: {
        ...partly.history,
        last: { successAt: NOW, failingSince: undefined, failure: { ...partly.history.last.failure, inARow: 0 } },
      },
    };
    const routes = [warned, a, route('/d', 'default'), b];
    expect(text(page(input({ routes })))).toContain(
      'Partly /a, /b fail: Dns at api.example:443. Since 11:58:00 UTC, 2 minutes ago. What to do: Mend dns. ' +
        '/c works, with a warning: 1 of 20 calls failed in the last five minutes. Last failure: refused at ' +
        'api.example:443. Since 11:57:00 UTC, 3 minutes ago. What to do: Mend refused. /d works.',
    );
    expect(text(page(input({ routes: [a, b] })))).toContain('now? No /a, /b fail: ');
    expect(text(page(input({ routes: [warned] })))).toContain('now? Yes, with a warning /c works');
  });

  it.each([
    ['Draining', { draining: true }],
    ['No', { listening: false }],
  ] as const)('says %s when %j', (word, rest) => {
    expect(text(page(input(rest)))).toContain(`Can the API be called now? ${word} `);
  });

  it('says yes while the first token is on its way', () => {
    const read = text(page(input({}, [{ ...REFUSED, consecutiveFailures: 0, lastError: undefined }])));
    expect(read).toContain('Yes The sidecar is fetching a token; calls wait for it.');
  });

  it('takes the latest of request, token and reload for what went wrong last', () => {
    const problems = ['aritma-sidecar.yaml:3: listen is wrong'];
    const last = (rest: Partial<StatusInput>) => /Last problem (.*?) \(/.exec(text(page(input(rest, [REFUSED]))))?.[1];
    expect(last({ recentErrors: [{ ...ERROR, at: NOW - MINUTE }] })).toBe(ERRORS.UPSTREAM_TIMEOUT.title);
    expect(last({ recentErrors: [{ ...ERROR, at: NOW - 9 * MINUTE }] })).toBe(ERRORS.CREDENTIALS_REJECTED.title);
    expect(last({ lastReload: { at: NOW, result: 'invalid', problems } })).toBe(ERRORS.CONFIG_INVALID.title);
    expect(last({ lastReload: { at: NOW, result: 'ok', problems: [] } })).toBe(ERRORS.CREDENTIALS_REJECTED.title);
  });

  it('explains every code of the error table, and an error of the API itself', () => {
    for (const code of Object.keys(ERRORS) as (keyof typeof ERRORS)[]) {
      expect(text(page(input({ errorGroups: [groupOf({ code })] }))).replaceAll(' ', '')).toContain(
        ERRORS[code].detail.replace(/[` ]/g, '').replaceAll('&', '&amp;').replaceAll('<', '&lt;'),
      );
    }
    const errorGroups = [groupOf({ code: undefined, status: 502 })];
    expect(text(page(input({ errorGroups })))).toContain('HTTP 502 /banking 1 The API responded with an error.');
  });

  it('has one row for equal errors: how many, the first, the last, what was met, and the latest request id', () => {
    const failure = {
      cause: 'dns',
      host: 'api.example:443',
      message: 'no such name: api.example',
      fix: 'check the name',
    };
    const errorGroups = [groupOf({ failure, at: NOW - MINUTE, requestId: 'r-28' }, 28, NOW - 30 * MINUTE)];
    const shown = page(input({ errorGroups }));
    expect(text(shown)).toContain(
      'UPSTREAM_TIMEOUT dns /banking 28 The API did not respond in time. No such name: api.example. Check the name. ' +
        '11:30:00 UTC, 30 minutes ago 11:59:00 UTC, 1 minute ago r-28',
    );
  });

  it('lists calls with an unknown outcome, with what to ask the API for, and names them in the first view', () => {
    const unknownOutcomes = [
      { ...ERROR, mayHaveExecuted: true, idempotencyKey: 'pay-4711' },
      { ...ERROR, requestId: 'r-0', code: 'CALLER_ABORTED', status: 499, mayHaveExecuted: true },
    ];
    const read = text(page(input({ unknownOutcomes })));
    expect(read).toContain('Unknown outcomes The API may have executed 2 calls: ask the API before you send again.');
    expect(read).toContain(
      `12:00:00 UTC, less than a minute ago /banking POST ${ERRORS.UPSTREAM_TIMEOUT.title} r-1 pay-4711 ` +
        'Ask the API with this Idempotency-Key. Do not send the call again before you know its outcome.',
    );
    expect(read).toContain(
      `/banking POST ${ERRORS.CALLER_ABORTED.title} r-0 none Ask the API for the result of this call, or with`,
    );
    const none = text(page(input()));
    expect(none).toContain('Payments and other calls with an unknown outcome None since the start.');
    expect(none).not.toContain('may have executed');
  });

  it('shows traffic, secrets, pools and what is unsafe', () => {
    const read = text(page(input({ unsafe: ['unsafe.plainTextHttp'], warnings: ['no allow-list on /banking'] })));
    for (const part of [
      'every method and path 4.0 5.0 % (1 of 20) about 12 ms about 2.3 s',
      '1 in use abcd1234 not known',
      'protection turned off unsafe.plainTextHttp',
      'no allow-list on /banking',
      'https://api.example 3 1 0',
    ])
      expect(read).toContain(part);
  });

  it('says of every route whether it works, why, since when and what to do', () => {
    const token = { consecutiveFailures: 2, lastError: { ...REFUSED.lastError, since: NOW - 9 * MINUTE } };
    const rows = (tokens: readonly Partial<TokenView>[]) => text(page(input({}, tokens)));
    expect(rows([{}])).toContain('works /banking Calls get responses. https://api.example/banking');
    expect(rows([{ ...token, state: 'early' }])).toContain('warning /banking The token is valid until 13:00 UTC, but');
    expect(rows([{ ...REFUSED, ...token }])).toContain(
      `fails /banking ${ERRORS.CREDENTIALS_REJECTED.title}. Since 11:51:00 UTC, 9 minutes ago What to do: It does not accept client id,`,
    );
  });

  it('has pictures that say in words what they show: the way of a call, traffic, the life of a token, a rotation', () => {
    const alternatives = (given: StatusInput) =>
      [...page(given).matchAll(/<svg role="img" aria-label="([^"]*)"/g)].map(([, label]) => label);
    const rotation = { state: 'overlap', rotatedAt: NOW, nextAt: NOW + 1440 * MINUTE, lastError: undefined } as const;
    const credentials = input().credentials.map((one) => ({ ...one, rotation }));
    const token = { lastSuccessAt: NOW - 20 * MINUTE, expiresAt: NOW + 20 * MINUTE, refreshAt: NOW + 15 * MINUTE };
    expect(alternatives(input({ credentials }, [token]))).toEqual([
      'Callers send calls to the sidecar: accepts calls. The sidecar gets tokens from the identity server: token valid, valid until 12:20 UTC. The sidecar forwards calls to the API: no problem known.',
      '/banking, the last thirty minutes: 20 calls, 1 error, at most 20 calls a minute, 20 calls in the current minute',
      'The token for api: obtained 11:40 UTC, refresh due 12:15, expires 12:20 UTC; 50 % of its lifetime is over',
      'Phases of the rotation: one secret , old and new valid since 2026-01-01 (now), old one deleted on 2026-01-02',
    ]);
    expect(alternatives(input({}, [REFUSED]))[0]).toContain(
      'no valid token. The sidecar forwards calls to the API: no calls reach it.',
    );
  });

  it('shows when a secret expires where that is known', () => {
    const secrets = [{ name: '1', fingerprint: 'abcd1234', inUse: false, expiresAt: NOW + 3 * 24 * 60 * MINUTE }];
    const read = text(page(input({ credentials: [{ name: 'default', clientId: 'erp', secrets }] })));
    expect(read).toContain('1 not in use abcd1234 2026-01-04 12:00:00 UTC, in 3 days');
  });

  it('stays the same from second to second, so that nothing is sent when nothing happens', () => {
    const at = (now: number) => renderMain(status(input({ now })), { actions: true });
    expect(at(NOW + 1000)).toBe(at(NOW + 58_000));
    expect(at(NOW + 1000)).not.toBe(at(NOW + 61_000));
  });

  it('offers a button for each credential only where actions are on, and says what it does', () => {
    expect(page(input())).not.toContain('<form');
    const credentials = [{ name: 'a&b=c', clientId: 'erp', secrets: [] }];
    const shown = page(input({ credentials }), true);
    expect(shown).toContain('<form method="post" action="/token/refresh?credential=a%26b%3Dc">');
    expect(text(shown)).toContain('This discards the current token and fetches a new one; calls wait for it.');
  });
});

/** Everything variable is this text. */
function hostile(evil: string): StatusInput {
  const lastError = { code: evil, result: evil, at: NOW };
  const failure = { cause: evil, host: evil, message: evil, fix: evil };
  const error = { ...ERROR, route: evil, code: evil, method: evil, requestId: evil, idempotencyKey: evil, failure };
  const headers = [{ name: evil, value: evil, override: true }];
  const evilRoute = { ...route(evil, evil), upstream: evil, scope: evil, allow: [evil], headers };
  return input(
    {
      version: evil,
      environment: evil,
      warnings: [evil],
      unsafe: [evil],
      lastReload: { at: NOW, result: evil, problems: [evil] },
      routes: [evilRoute],
      recentErrors: [error],
      errorGroups: [groupOf(error)],
      unknownOutcomes: [error],
      credentials: [{ name: evil, clientId: evil, secrets: [{ name: evil, fingerprint: evil, inUse: true }] }],
      upstreams: [{ origin: evil, connected: 0, running: 0, queued: 0 }],
    },
    [
      { ...REFUSED, key: { credential: evil, scope: evil }, lastError },
      { key: { credential: evil, scope: undefined } },
    ],
  );
}

describe('admin/page: nothing in it becomes markup', () => {
  const harmless = skeleton(page(hostile('harmless'), true));

  it.each([
    '<script>alert(1)</script>',
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    '</style></script></title><h1>',
    '<!-- ',
    ']]>',
    '&lt;b&gt;',
    '`alert(1)`',
    'javascript:alert(1)',
    '\u202e\u2066 reversed',
    '\0\x1b[31m\r\n',
    '\ud800',
    '__proto__',
  ])('with %j in every field', (evil) => {
    const shown = page(hostile(evil), true);
    expect(skeleton(shown)).toEqual(harmless);
    expect(shown.isWellFormed()).toBe(true);
    expect(shown).not.toMatch(/[^\P{Cc}\n\t]|\p{Bidi_Control}/u);
  });

  it('with anything in every field', () => {
    const nasty = fc.string({
      unit: fc.constantFrom('<', '>', '"', "'", '&', '`', '/', '=', ' ', '!', '-', 'a', '\n', '\0'),
    });
    fc.assert(
      fc.property(nasty, (evil) => {
        // What a caller may leave empty has no mark-up of its own.
        expect(skeleton(page(hostile(`x${evil}`), true))).toEqual(harmless);
      }),
    );
  });
});

describe('admin/server: the page', () => {
  it('comes with a policy that lets nothing in but its own script and style', async () => {
    await using world = await createAdminWorld();
    const { status: code, headers, body } = await world.admin('/');
    expect(code).toBe(200);
    expect(headers).toMatchObject({
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
    });
    const csp = String(headers['content-security-policy']);
    const directives = Object.fromEntries(csp.split('; ').map((one) => [one.split(' ')[0], one.split(' ').slice(1)]));
    const hash = (tag: string) => {
      const [, content = ''] = new RegExp(`<${tag}>(.*?)</${tag}>`, 's').exec(body) ?? [];
      return `'sha256-${createHash('sha256').update(content).digest('base64')}'`;
    };
    expect(directives).toEqual({
      'default-src': ["'none'"],
      'script-src': [hash('script')],
      'style-src': [hash('style')],
      'connect-src': ["'self'"],
      'img-src': ['data:'],
      'form-action': ["'self'"],
      'frame-ancestors': ["'none'"],
      'base-uri': ["'none'"],
    });
    expect(body).not.toMatch(/ (on[a-z]+|style)="/);
    expect(body.replaceAll(world.sidecar.url, '')).not.toMatch(/(src|href)="(?!#|\/status"|data:,")/);
    expect(PAGE_HEADERS['Content-Security-Policy']).toBe(csp);
  });

  it.each(['/', '/events'])('refuses %s to other names and other sites', async (path) => {
    await using world = await createAdminWorld();
    expect((await world.admin(path, { headers: { Host: 'evil.example' } })).status).toBe(421);
    expect((await world.admin(path, { headers: { Origin: 'https://evil.example' } })).status).toBe(403);
    expect((await world.admin(path, { headers: { 'Sec-Fetch-Site': 'cross-site' } })).status).toBe(403);
  });

  it('shows neither secret nor token, and of requests neither path nor query nor header', async () => {
    const config = { adminActions: true };
    await using world = await createAdminWorld(config, grant('canary-token-0815'));
    const call = (path: string) =>
      fetch(world.sidecar.url + path, { headers: { 'X-Own': 'canary-header' } }).then((answer) => answer.text());
    await call('/api/canary-path?canary-query=1');
    await call('/nowhere/canary-path?canary-query=1');
    world.identity.answerWith(json(401, { error: 'invalid_client', error_description: 'canary-description' }));
    await world.admin('/token/refresh', { method: 'POST' });
    const page = (await world.admin('/')).body;
    expect(page).toContain('ROUTE_NOT_FOUND');
    expect(page).toContain('CREDENTIALS_REJECTED');
    const everything = page + (await world.admin('/status')).body;
    expect(everything).not.toMatch(/canary/);
    expect(everything).not.toContain(TEST_SECRET);
  });

  it('has a refused request among the last errors, with the request id it came with', async () => {
    await using world = await createAdminWorld();
    await fetch(`${world.sidecar.url}/api/x`, {
      headers: { Origin: 'https://evil.example', 'X-Request-Id': 'mine-1' },
    });
    const { recentErrors } = (await world.admin('/status')).json();
    expect(recentErrors).toEqual([
      {
        at: expect.stringMatching(/Z$/),
        code: 'CALLER_ORIGIN',
        status: 403,
        method: 'GET',
        requestId: 'mine-1',
        mayHaveExecuted: false,
      },
    ]);
  });
});

describe('admin/server: the button', () => {
  const form = (world: { sidecar: { adminUrl: string } }, site = 'same-origin', origin = world.sidecar.adminUrl) =>
    ({
      method: 'POST',
      headers: { Accept: 'text/html,*/*;q=0.8', Origin: origin, 'Sec-Fetch-Site': site },
    }) as const;

  it('is there only with adminActions', async () => {
    await using without = await createAdminWorld();
    await using having = await createAdminWorld({ adminActions: true });
    expect((await without.admin('/')).body).not.toContain('<form');
    expect((await having.admin('/')).body).toContain('action="/token/refresh?credential=default"');
  });

  it('is there on a Unix socket, whatever adminActions says', async () => {
    using folder = createFolder();
    const socketPath = join(folder.path, 'admin.sock');
    await using world = await createAdminWorld({ admin: ['127.0.0.1:0', `unix:${socketPath}`] });
    const [res] = (await once(request({ socketPath, path: '/' }).end(), 'response')) as [IncomingMessage];
    expect((await res.toArray()).join('')).toContain('<form');
    expect((await world.admin('/')).body).not.toContain('<form');
  });

  it('refetches the token and leads back to the page, to which programs are not led', async () => {
    await using world = await createAdminWorld({ adminActions: true });
    await fetch(`${world.sidecar.url}/api/x`);
    const answer = await world.admin('/token/refresh?credential=default', form(world));
    expect([answer.status, answer.headers['location']]).toEqual([303, '/']);
    expect(world.identity.calls).toHaveLength(2);
    expect((await world.admin('/token/refresh', { method: 'POST' })).status).toBe(200);
  });

  it('leads back to the page in an outage too, which says what is wrong', async () => {
    await using world = await createAdminWorld({ adminActions: true }, json(500, {}));
    const answer = await world.admin('/token/refresh?credential=default', form(world));
    expect(answer.status).toBe(303);
    expect((await world.admin('/')).body).toContain('TOKEN_UNAVAILABLE');
    expect((await world.admin('/token/refresh?credential=nobody', form(world))).status).toBe(404);
  });

  it('works where the page withholds its origin, if the browser vouches for it, and for nobody else', async () => {
    await using world = await createAdminWorld({ adminActions: true });
    const send = async (site: string, origin: string) =>
      (await world.admin('/token/refresh?credential=default', form(world, site, origin))).status;
    expect(await send('same-origin', 'null')).toBe(303);
    for (const site of ['cross-site', 'same-site', 'none']) expect(await send(site, 'null'), site).toBe(403);
    expect(await send('same-origin', 'https://evil.example')).toBe(403);
  });
});
