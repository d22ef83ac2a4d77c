// The doctor and servers that do not do what they should: token endpoints, tokens, APIs.
import { describe, expect, it } from 'vitest';
import { createPatient, http, jwt, misjudged, type Patient, type Setup } from '../support/patient.ts';
import { grant, json } from '../support/token-server.ts';

/** A fixed answer of the token endpoint. */
const page = (status: number, headers: Record<string, string>, body: string) => (patient: Patient) =>
  patient.answer((res) => res.writeHead(status, headers).end(body));
const oauth = (error: string) => (patient: Patient) => patient.answer(json(400, { error }));
const claims =
  (content: Record<string, unknown>, fields = {}) =>
  (patient: Patient) =>
    patient.answer((...args) => grant(jwt(content), fields)(...args));
const api = (bytes: string) => (patient: Patient) => patient.api(bytes);
const now = () => Math.floor(Date.now() / 1000);

/** Discovery answers this document, made for its own issuer. */
const discovery = (status: number, document: (issuer: string) => Record<string, unknown>) => (patient: Patient) => {
  const issuer = new URL(patient.identity.url).origin;
  delete patient.credential['tokenEndpoint'];
  patient.credential['issuer'] = issuer;
  patient.answer(json(status, document(issuer)));
};

const REJECTED = { exit: 5, code: 'CREDENTIALS_REJECTED' } as const;
const NO_TOKEN = { exit: 6, code: 'TOKEN_UNAVAILABLE' } as const;
const REFUSED = { exit: 7, code: 'UPSTREAM_REFUSED_TOKEN' } as const;
const DOUBT = { exit: 0, level: 'warning', code: 'UPSTREAM_REFUSED_TOKEN' } as const;

const SETUPS: readonly Setup[] = [
  // Clock and discovery
  {
    what: 'a clock ten minutes ahead',
    harm: page(400, { Date: new Date(Date.now() - 600_000).toUTCString() }, '{"error":"invalid_client"}'),
    ...{
      ...NO_TOKEN,
      exit: 5,
      cause: 'clock_skew',
      message: /[56]\d\d s ahead of.*assertions/,
      fix: /NTP/,
    },
  },
  {
    what: 'a clock ten minutes ahead that a token is obtained with all the same',
    harm: (patient) =>
      patient.answer((res, call, count) => {
        res.setHeader('Date', new Date(Date.now() - 600_000).toUTCString());
        grant(jwt({}))(res, call, count);
      }),
    ...{ exit: 0, level: 'warning', code: 'TOKEN_UNAVAILABLE', cause: 'clock_skew' },
    ...{ message: /[56]\d\d s ahead of.*; the token request worked/, fix: /NTP/ },
  },
  {
    what: 'an issuer with a slip of the pen',
    harm: discovery(200, (issuer) => ({ issuer: `${issuer}/`, token_endpoint: `${issuer}/t` })),
    ...{ ...NO_TOKEN, cause: 'discovery_mismatch', message: /has the issuer http.*\/, not/, fix: /exactly/ },
  },
  {
    what: 'an issuer without a discovery document',
    harm: discovery(404, () => ({})),
    ...{ ...NO_TOKEN, cause: 'discovery_not_found', message: /HTTP 404/, fix: /configure tokenEndpoint/ },
  },
  {
    what: 'a discovery document without a token endpoint',
    harm: discovery(200, (issuer) => ({ issuer })),
    ...{ ...NO_TOKEN, cause: 'discovery_no_token_endpoint', message: /names no token endpoint/, fix: /tokenEndpoint/ },
  },
  // Token endpoint
  {
    what: 'a secret that is wrong',
    harm: oauth('invalid_client'),
    ...{
      ...REJECTED,
      cause: 'token_invalid_client',
      message: /secret 1 \(fingerprint [0-9a-f]{8}\)/,
      fix: /new secret/,
    },
  },
  {
    what: 'a client for another grant',
    harm: oauth('unauthorized_client'),
    ...{ ...REJECTED, cause: 'token_unauthorized_client', message: /may not use/, fix: /allowedGrantTypes/ },
  },
  {
    what: 'a scope the client may not have',
    harm: oauth('invalid_scope'),
    ...{ ...REJECTED, cause: 'token_invalid_scope', message: /scope/, fix: /allowedScopes/ },
  },
  {
    what: 'a grant the server does not know',
    harm: oauth('unsupported_grant_type'),
    ...{ ...REJECTED, cause: 'token_unsupported_grant_type', message: /client_credentials/, fix: /allowedGrantTypes/ },
  },
  {
    what: 'a grant that is refused',
    harm: oauth('invalid_grant'),
    ...{ ...REJECTED, cause: 'token_invalid_grant', message: /refuses this grant/, fix: /`parameters`/ },
  },
  {
    what: 'a request the server does not like',
    harm: oauth('invalid_request'),
    ...{ ...REJECTED, cause: 'token_invalid_request', message: /does not understand/, fix: /client_secret_post/ },
  },
  {
    what: 'a token endpoint that is a log-in page',
    harm: page(200, { 'Content-Type': 'text/html' }, '<html>CANARY</html>'),
    ...{ ...NO_TOKEN, cause: 'token_web_page', message: /web page/, fix: /captive portal/ },
  },
  {
    what: 'a token endpoint that has moved',
    harm: page(302, { Location: 'https://login.example/CANARY?CANARY=1' }, ''),
    ...{ ...NO_TOKEN, cause: 'token_redirect', message: /to https:\/\/login.example; the/, fix: /tokenEndpoint/ },
  },
  {
    what: 'too many token requests',
    harm: page(429, {}, ''),
    ...{ ...NO_TOKEN, cause: 'token_http_429', message: /too many requests/, fix: /wait/ },
  },
  {
    what: 'a network that wants a log-in',
    harm: page(511, {}, ''),
    ...{ ...NO_TOKEN, cause: 'captive_portal', message: /captive portal/, fix: /log this machine in/ },
  },
  {
    what: 'a token that is not the issuer’s',
    harm(patient) {
      discovery(200, () => ({}))(patient);
      const issuer = patient.credential['issuer'];
      Object.assign(patient.credential, { verify: true });
      const document = { issuer, token_endpoint: `${issuer}/t`, jwks_uri: `${issuer}/keys` };
      patient.answer((res, call, count) =>
        (call.method === 'GET' ? json(200, { ...document, keys: [] }) : grant(jwt({ iss: issuer })))(res, call, count),
      );
    },
    ...{ ...NO_TOKEN, cause: 'token_not_verified', message: /fails verification/, fix: /verify: false/ },
  },
  // What the token says
  {
    what: 'a token without the scope',
    harm: claims({ scope: ['other.read'] }),
    ...{ ...DOUBT, cause: 'token_scope_missing', message: /lacks the scope api.*other.read/, fix: /allowedScopes/ },
  },
  {
    what: 'a server that gives the secret back',
    harm: (patient) =>
      patient.answer((res, call, count) =>
        grant('CANARY-token', { scope: `${call.form.get('client_secret')} CANARY-token` })(res, call, count),
      ),
    ...{ ...DOUBT, cause: 'token_scope_missing', message: /it has: \[secret\] \[secret\]/, fix: /allowedScopes/ },
  },
  {
    what: 'a token for another audience',
    harm(patient) {
      patient.credential['audience'] = 'banking';
      claims({ aud: ['events'] })(patient);
    },
    ...{ ...DOUBT, cause: 'token_audience_differs', message: /for events, not for .*banking/, fix: /audience/ },
  },
  {
    what: 'a token of the next hour',
    harm: claims({ nbf: now() + 3600 }),
    ...{ ...DOUBT, cause: 'token_not_yet_valid', message: /becomes valid only in 3\d{3} s/, fix: /NTP/ },
  },
  {
    what: 'a token that contradicts its answer',
    harm: claims({}, { expires_in: 600 }),
    ...{ ...DOUBT, cause: 'token_lifetime_differs', message: /600 s but .* 3600 s/, fix: /Aritma/ },
  },
  {
    what: 'a token for half a minute',
    harm: claims({ exp: now() + 3600 }, { expires_in: 30 }),
    ...{ ...DOUBT, cause: 'token_short_lived', message: /only 30 s/, fix: /lifetime/ },
  },
  {
    what: 'a token of another issuer',
    harm(patient) {
      discovery(200, () => ({}))(patient);
      const issuer = patient.credential['issuer'];
      const document = { issuer, token_endpoint: `${issuer}/t` };
      patient.answer((res, call, count) =>
        (call.method === 'GET' ? json(200, document) : grant(jwt({ iss: 'https://id.test' })))(res, call, count),
      );
    },
    ...{ ...DOUBT, cause: 'token_issuer_differs', message: /from the issuer https:\/\/id.test/, fix: /dev tokens/ },
  },
  // APIs
  {
    what: 'an API for another audience',
    harm: api(
      http(
        '401 U\r\nWWW-Authenticate: Bearer error="invalid_token", error_description="The audience \'CANARY\' is invalid"',
      ),
    ),
    ...{ ...REFUSED, cause: 'upstream_401_audience', message: /another audience/, fix: /audience/ },
  },
  ...(
    [
      ['from tomorrow on', { aud: 'api', nbf: now() + 86_400 }, /becomes valid only in \d+ s/, /NTP/],
      ['that is for nobody', { iss: 'https://id.prod.x', aud: undefined }, /has no audience/, /`audience`/],
      [
        'that looks right',
        { iss: 'https://id.prod.x', aud: ['a', 'b'], scope: 'api' },
        /issuer https:\/\/id\.prod\.x, audience a, b, scope api/,
        /expects/,
      ],
    ] as const
  ).map(
    ([which, content, message, fix]): Setup => ({
      what: `an API that finds a token invalid ${which}`,
      harm(patient) {
        claims(content, { expires_in: 3600 })(patient);
        patient.api(http('401 U\r\nWWW-Authenticate: Bearer realm="CANARY", error="invalid_token"'));
      },
      ...{ ...REFUSED, cause: 'upstream_401_invalid_token', message, fix },
    }),
  ),
  {
    what: 'an API that finds a token invalid that is no JWT',
    harm(patient) {
      patient.answer(grant('opaque-token'));
      patient.api(http('401 U\r\nWWW-Authenticate: Bearer error="invalid_token"'));
    },
    ...{ ...REFUSED, cause: 'upstream_401_invalid_token', message: /not a JWT/, fix: /accessTokenType/ },
  },
  {
    what: 'an API that wants another scope',
    harm: api(http('403 F\r\nWWW-Authenticate: Bearer error="insufficient_scope"')),
    ...{ ...REFUSED, cause: 'upstream_403_scope', message: /lacks a scope/, fix: /`scope`/ },
  },
  {
    what: 'an API that names the scope it wants',
    harm(patient) {
      claims({ aud: 'api', scope: 'api' }, { expires_in: 3600 })(patient);
      patient.api(http('403 F\r\nWWW-Authenticate: Bearer error="insufficient_scope", scope="payments <CANARY>"'));
    },
    ...{
      ...REFUSED,
      cause: 'upstream_403_scope',
      message: /needs the scope payments, .* has: api$/,
      fix: /add payments to/,
    },
  },
  {
    what: 'an API that gives no reason for a token of another audience',
    harm(patient) {
      patient.route['audience'] = 'banking';
      claims({ aud: 'events' }, { expires_in: 3600 })(patient);
      patient.api(http('401 U\r\nWWW-Authenticate: Bearer realm="CANARY"'));
    },
    ...{
      ...REFUSED,
      cause: 'upstream_401_audience',
      message: /no reason; .*for events, not .*banking/,
      fix: /`audience`/,
    },
  },
  {
    what: 'an API that gives no reason for an opaque token',
    harm(patient) {
      patient.answer(grant('opaque-token'));
      patient.api(http('401 U\r\nWWW-Authenticate: Bearer'));
    },
    ...{ ...REFUSED, cause: 'upstream_401', message: /not a JWT but opaque/, fix: /opaque tokens/ },
  },
  {
    what: 'an API that wants https',
    harm: api(http('301 M\r\nLocation: https://127.0.0.1/CANARY')),
    ...{
      exit: 7,
      code: 'UPSTREAM_INVALID',
      cause: 'upstream_wants_https',
      message: /https:\/\/127.0.0.1 /,
      fix: /in upstream/,
    },
  },
  {
    what: 'an API that shows people a log-in page',
    harm: api(http('302 F\r\nLocation: https://login.example/CANARY')),
    ...{ ...DOUBT, cause: 'upstream_redirect', message: /https:\/\/login.example.*login page/, fix: /check upstream/ },
  },
  {
    what: 'an API that fails',
    harm: api(http('502 Bad', 'CANARY')),
    ...{ ...DOUBT, code: 'UPSTREAM_UNREACHABLE', cause: 'upstream_server_error', message: /HTTP 502/, fix: /later/ },
  },
  {
    what: 'an API that is no web server',
    harm: api('220 CANARY ESMTP\r\n'),
    ...{
      exit: 7,
      code: 'UPSTREAM_INVALID',
      cause: 'not_http',
      message: /not with valid HTTP/,
      fix: /port of upstream/,
    },
  },
];

describe('check and a server that misbehaves', () => {
  it.concurrent.each(SETUPS)('$what: $cause, exit $exit', async (setup) => {
    await using patient = await createPatient();
    await setup.harm(patient);
    expect(misjudged(setup, await patient.check())).toEqual([]);
  });
});
