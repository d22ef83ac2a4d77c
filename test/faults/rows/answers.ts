/** Rows T04, T06 to T09 and T13 to T15: the identity server answers, but not with a token. */

import {
  bothHalves,
  expectRefused,
  type FaultRow,
  HAMMERS,
  keptThenExpired,
  LEAKS,
  MISUSE,
  NOT_503,
  READS_ON,
  type Stage,
} from '../../support/fault-row.ts';
import {
  body,
  bomb,
  bytes,
  cutShort,
  endless,
  type Fault,
  startFaultServer,
  status,
} from '../../support/fault-server.ts';
import { PATIENCE_MS } from '../../support/own-time.ts';
import { until } from '../../support/until.ts';

const GOOD = { access_token: 'canary-token', expires_in: 3600, token_type: 'Bearer' };
const page = '<html><body>canary: sorry, maintenance</body></html>';

function row(id: string, name: string, fault: Fault, fails = HAMMERS): FaultRow {
  return {
    id,
    name: `${name}: the kept token goes on serving, and without one callers get 503`,
    control: { fails },
    play: (stage) => bothHalves(stage, fault),
  };
}

function rejected(code: number, error: string): FaultRow {
  return {
    id: 'T07',
    name: `${code} ${error}: the kept token goes on serving, the server is left alone for a minute, and callers learn why`,
    control: { fails: HAMMERS },
    async play(stage) {
      const fault = status(code, JSON.stringify({ error, error_description: `canary ${error}` }));
      await bothHalves(stage, fault, 'CREDENTIALS_REJECTED');
      const world = await stage.open({ fault });
      await world.settled('failed', 1);
      for (let second = 0; second < 59; second += 1) {
        await world.clock.advance(1000);
        if (second % 10 === 0) await expectRefused(stage, world, 'CREDENTIALS_REJECTED');
      }
      stage.check('a rejected client asks again within a minute', world.identity.requests.length === 1);
    },
  };
}

function redirect(code: number, fails: string): FaultRow {
  return {
    id: 'T15',
    name: `redirect ${code}: it is never followed, so the secret goes nowhere else, and callers get 503`,
    control: { fails },
    async play(stage: Stage) {
      const elsewhere = await startFaultServer(body(GOOD));
      try {
        await bothHalves(stage, status(code, '', { Location: elsewhere.url }));
        stage.check('a redirect is followed', elsewhere.connections === 0);
      } finally {
        await elsewhere.close();
      }
    },
  };
}

const bad = (fields: Readonly<Record<string, unknown>>) => body({ ...GOOD, ...fields });

export const ANSWER_ROWS: readonly FaultRow[] = [
  ...[500, 502, 503, 504].map((code) => row('T04', `${code} with an HTML page`, status(code, page), LEAKS)),
  row('T06', 'a 200 that holds an error', body({ error: 'temporarily_unavailable' }), MISUSE),
  row('T06', 'a 200 that holds an error and a token', bad({ error: 'server_error' }), NOT_503),
  rejected(401, 'invalid_client'),
  rejected(400, 'unauthorized_client'),
  rejected(400, 'invalid_scope'),
  row('T07', 'a 401 without an error code', status(401, page)),
  row('T08', 'a body that is not JSON', body(`canary ${page}`)),
  row('T08', 'a body that is cut short', cutShort(JSON.stringify(GOOD))),
  row('T08', 'half a JSON object', body(JSON.stringify(GOOD).slice(0, -5))),
  row('T08', 'an array', body([GOOD]), MISUSE),
  row('T08', 'null', body('null')),
  row('T08', 'an empty body', body('')),
  row('T08', 'a 204', bytes('HTTP/1.1 204 No Content\r\n\r\n')),
  row('T08', 'a 404 page', status(404, page)),
  row('T08', 'a 201 that holds a token', status(201, JSON.stringify(GOOD)), NOT_503),
  {
    id: 'T09',
    name: 'a body without end: it is cut long before it hurts, and callers get 503',
    control: { fails: READS_ON },
    async play(stage) {
      await keptThenExpired(stage, { begin: ({ identity }) => identity.behave(endless) });
      const world = await stage.open({ fault: endless });
      await expectRefused(stage, world);
      const isTooMuch = () => world.identity.sent.bytes >= 16 * 1024 * 1024;
      // The control reads for as long as there is something.
      if (stage.subject === 'naive') await until('it has read on', isTooMuch, PATIENCE_MS);
      stage.check(READS_ON, !isTooMuch());
    },
  },
  row('T09', 'a gzip bomb around a token', bomb(GOOD), NOT_503),
  row('T09', 'a token behind a megabyte of blanks', body(' '.repeat(1 << 20) + JSON.stringify(GOOD)), NOT_503),
  row('T13', 'no token type', bad({ token_type: undefined }), NOT_503),
  ...['mac', 'DPoP', 'N_A', ''].map((type) => row('T13', `token type "${type}"`, bad({ token_type: type }), NOT_503)),
  ...['bearer', 'BEARER', 'Bearer'].map(
    (type): FaultRow => ({
      id: 'T13',
      name: `token type "${type}": the token serves, and goes out as Bearer`,
      control: 'passes',
      async play(stage) {
        const world = await stage.open();
        await world.settled('obtained', 1);
        world.identity.behave(world.grant(3600, { token_type: type }));
        await world.clock.advance(3_600_001);
        await world.settled('obtained', 2);
        stage.check(NOT_503, (await world.ask()).status === 200);
      },
    }),
  ),
  row('T14', 'a token that would break out of its header line', bad({ access_token: 'canary\r\nX-Admin: 1' })),
  row('T14', 'a token with a NUL', bad({ access_token: 'canary\0' })),
  row('T14', 'a token with a blank', bad({ access_token: 'canary token' }), NOT_503),
  row('T14', 'a token that is not ASCII', bad({ access_token: 'canary-tökén' }), NOT_503),
  row('T14', 'an empty token', bad({ access_token: '' }), NOT_503),
  row('T14', 'a token of 20 KB', bad({ access_token: `canary${'a'.repeat(20_000)}` }), NOT_503),
  row('T14', 'a token that is a number', bad({ access_token: 4711 }), NOT_503),
  row('T14', 'a token that is an object', bad({ access_token: { value: 'canary' } }), NOT_503),
  redirect(301, HAMMERS),
  redirect(302, HAMMERS),
  redirect(307, 'a redirect is followed'),
  redirect(308, 'a redirect is followed'),
];
