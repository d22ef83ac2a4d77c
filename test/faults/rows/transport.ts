/** Rows T01 to T03, T16, T18 and T30: the way to the identity server, or its connection, is broken. */
import type { Socket } from 'node:net';
import {
  bothHalves,
  expectRefused,
  type FaultRow,
  HAMMERS,
  keptThenExpired,
  NOT_503,
  NOT_BACK,
  type Stage,
} from '../../support/fault-row.ts';
import { bytes, drip, hang, reset, silent } from '../../support/fault-server.ts';
import type { FaultWorld } from '../../support/fault-world.ts';
import { PATIENCE_MS } from '../../support/own-time.ts';
import { until } from '../../support/until.ts';

export const TRANSPORT_ROWS: readonly FaultRow[] = [
  {
    id: 'T01',
    name: 'a refused connection: the kept token goes on serving, and without one callers get 503 until it is back',
    control: 'passes',
    async play(stage) {
      await keptThenExpired(stage, {
        begin: ({ identity }) => identity.refuse(),
        end: ({ identity }) => identity.resume(),
      });
      await expectRefused(stage, await stage.open({ refused: true }));
    },
  },
  {
    id: 'T01',
    name: 'a reset after every request: the kept token goes on serving, and without one the endpoint is not hammered',
    control: { fails: HAMMERS },
    play: (stage) => bothHalves(stage, reset),
  },
  {
    id: 'T02',
    name: 'an endpoint that never answers: the kept token goes on serving, and without one callers get 503 in time',
    control: { fails: NOT_503 },
    play: (stage) => bothHalves(stage, hang),
  },
  {
    id: 'T02',
    name: 'fifty attempts that hang: their connections are gone afterwards',
    control: { leftOut: 'it makes no attempts of its own' },
    async play(stage) {
      const world = await stage.open({ fault: hang });
      for (let failures = 1; failures <= 50; failures += 1) {
        await world.settled('failed', failures);
        await world.clock.advance(61_000);
      }
      stage.check('connections pile up', world.identity.connections >= 50 && world.identity.open <= 4);
      await expectRefused(stage, world);
    },
  },
  {
    id: 'T03',
    name: 'a body that drips: the kept token goes on serving, and without one callers get 503 within the deadline',
    control: { fails: NOT_503 },
    play: (stage) => bothHalves(stage, drip),
  },
  {
    id: 'T03',
    name: 'an answer that is not HTTP: the kept token goes on serving, and without one callers get 503',
    control: { fails: HAMMERS },
    play: (stage) => bothHalves(stage, bytes('SSH-2.0-OpenSSH_9.2\r\n\r\n')),
  },
  {
    id: 'T16',
    name: 'a self-signed certificate: no request is sent over it, callers get 503, and the log names TLS',
    control: { fails: HAMMERS },
    async play(stage) {
      const world = await stage.open({ secure: true });
      await expectRefused(stage, world);
      stage.check('the secret went over an untrusted connection', world.identity.requests.length === 0);
      const named = world.sidecar?.logs.some(({ result }) => result === 'tls') ?? true;
      stage.check('the cause is not named', named);
    },
  },
  {
    id: 'T16',
    name: 'a TLS handshake that never ends: callers get 503 after the time to connect',
    control: { fails: NOT_503 },
    play: (stage) => neverSecure(stage, '300ms', () => undefined),
  },
  {
    id: 'T16',
    name: 'a TLS handshake that never ends: callers get 503 after the time for one attempt, however long connecting may take',
    control: { fails: NOT_503 },
    play: (stage) => neverSecure(stage, '10m', (world) => world.passDeadline()),
  },
  {
    id: 'T18',
    name: 'a name that does not exist: callers get 503, and the log names DNS',
    control: 'passes',
    async play(stage) {
      const tokenEndpoint = 'http://no-such-host.invalid/token';
      const world = await stage.open({ tokenEndpoint, config: { unsafe: { plainTextHttp: true } } });
      await expectRefused(stage, world);
      const named = world.sidecar?.logs.some(({ result }) => result === 'dns') ?? true;
      stage.check('the cause is not named', named);
    },
  },
  {
    id: 'T30',
    name: 'a token that comes after the deadline: its callers have had their one 503, and it does no harm',
    control: { fails: NOT_503 },
    async play(stage) {
      const held: { socket: Socket; count: number }[] = [];
      const world = await stage.open({
        fault(socket, count) {
          held.push({ socket, count });
          silent(socket);
        },
      });
      for (const { status } of await world.askMany(5)) stage.check(NOT_503, status === 503);
      for (const { socket, count } of held.splice(0)) world.grant()(socket, count);
      world.identity.behave(world.grant());
      await world.clock.advance(61_000);
      await world.settled('obtained', 1);
      const seen = await world.askMany(5);
      stage.check(
        NOT_BACK,
        seen.every(({ status }) => status === 200),
      );
    },
  },
];

/** The server listens on a plain port and waits for the end of a request that is no request. */
async function neverSecure(stage: Stage, connect: string, onHandshake: (world: FaultWorld) => void): Promise<void> {
  const plain = await stage.open();
  await plain.settled('obtained', 1);
  const before = plain.identity.connections;
  const tokenEndpoint = plain.identity.url.replace('http:', 'https:');
  const world = await stage.open({ tokenEndpoint, config: { timeouts: { connect } } });
  const asked = world.askMany(5);
  await until('the handshake has begun', () => plain.identity.connections > before, PATIENCE_MS);
  onHandshake(world);
  for (const { status } of await asked) stage.check(NOT_503, status === 503);
  stage.check(HAMMERS, plain.identity.connections - before <= 2);
}
