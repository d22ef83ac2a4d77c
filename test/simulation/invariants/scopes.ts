/** What docs/tokens.md and docs/errors.md promise of a token that lacks a scope, and of a scope that a client may not have. */
import { type Stamp, stampOf } from '../platform/network.ts';
import type { SimulatedProcess } from '../platform/process.ts';
import type { TokenRequest, UpstreamRequest } from '../world/observation.ts';
import type { Invariant } from './invariants.ts';
import { isLogged } from './logged.ts';
import { knownAgeMs, mayBeOfOldGeneration } from './tokens.ts';

export const passesForbidden: Invariant = {
  sentence: 'A 403 of the API goes to the caller, who gets no other response, and the call is not sent again.',
  watch(_world, violated) {
    const forbidden = new Set<string>();
    const callOf = ({ id, attempt }: UpstreamRequest) => `${id} ${attempt}`;
    return (observation) => {
      if (observation.kind === 'forbidden') forbidden.add(callOf(observation.request));
      if (observation.kind === 'upstreamRequest' && forbidden.has(callOf(observation.request)))
        violated(`payment ${observation.request.id} was sent again`);
      if (observation.kind !== 'told') return;
      const { id, attempt, status } = observation.told;
      // None: the caller gave up, or its sidecar was killed.
      if (forbidden.has(`${id} ${attempt}`) && status !== 403 && status !== undefined)
        violated(`payment ${id} got ${status}`);
    };
  },
};

const REFUSED_MS = 60_000;
/** A request may have had to wait for a document of its issuer and for its connection, and another one not. */
const TOLERANCE_MS = 10_200;

export const restsRefusedScope: Invariant = {
  sentence:
    'After `invalid_scope`, the next token request comes after a minute or later. Excused: the first one after a reload, and all within fifteen seconds of it.',
  watch(world, violated) {
    const last = new WeakMap<SimulatedProcess, TokenRequest>();
    const reloadedAt = new WeakMap<SimulatedProcess, Stamp>();
    return (observation) => {
      if (isLogged(observation, 'reloaded')) {
        reloadedAt.set(observation.process, stampOf(world.platform.time, observation.process));
        // A new generation asks at once, and again when it did not get through to the server.
        last.delete(observation.process);
      }
      if (observation.kind !== 'tokenRequest') return;
      const { request } = observation;
      const { from, sent } = request;
      const before = last.get(from);
      last.set(from, request);
      if (before?.outcome !== 'invalid_scope') return;
      if (mayBeOfOldGeneration(sent, reloadedAt.get(from))) return;
      const apartMs = knownAgeMs(before.sent, sent);
      if (apartMs < REFUSED_MS - TOLERANCE_MS) violated(`${from.name} asked again after ${Math.round(apartMs)} ms`);
    };
  },
};
