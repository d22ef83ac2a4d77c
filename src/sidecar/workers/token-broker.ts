/**
 * Where the engine's tokens leave its process: every new one goes to all workers, so does word of one that is not to be
 * used any more, and questions of workers end in the same `get` and `renew` that callers of one process use. However many
 * workers see the same token refused, it is renewed once.
 */

import { type Clock, elapsedSince } from '../../core/clock.ts';
import { SidecarError } from '../../core/errors.ts';
import type { Token } from '../../oauth/token.ts';
import type { TokenSource } from '../../oauth/token-source.ts';
import type { Question, Reply, ToWorker, WireError, WireToken } from './protocol.ts';

export interface TokenDeskOptions {
  readonly broadcast: (message: ToWorker) => void;
  readonly clock: Clock;
}

export interface TokenDesk {
  /** Sources of a new generation; a question names one by its position. */
  open(generation: number, sources: readonly TokenSource[]): void;
  /** What they have now. */
  tokens(generation: number): (WireToken | undefined)[];
  /** Looks for tokens that came or went, and tells the workers. */
  sync(): void;
  response(question: Extract<Question, { about: 'token' }>): Promise<Reply>;
  forget(generation: number): void;
}

interface Entry {
  readonly source: TokenSource;
  /** What workers were told last. */
  token: Token | undefined;
  serial: number;
}

export function createTokenDesk({ broadcast, clock }: TokenDeskOptions): TokenDesk {
  const generations = new Map<number, readonly Entry[]>();
  const wire = ({ token, serial }: Entry): WireToken | undefined => token && toWire(token, serial, clock);

  const look = (entry: Entry): boolean => {
    const { token } = entry.source;
    if (token === entry.token) return false;
    entry.token = token;
    if (token) entry.serial += 1;
    return true;
  };
  const sync = () => {
    for (const [generation, entries] of generations) {
      entries.forEach((entry, source) => {
        if (look(entry)) broadcast({ kind: 'token', generation, source, token: wire(entry) });
      });
    }
  };
  return {
    open: (generation, sources) =>
      void generations.set(
        generation,
        sources.map((source) => ({ source, token: source.token, serial: 1 })),
      ),
    tokens: (generation) => (generations.get(generation) ?? []).map(wire),
    sync,
    async response({ generation, source, refused }) {
      const entry = generations.get(generation)?.[source];
      if (!entry) return failure(new SidecarError('SIDECAR_INTERNAL'), false);
      let asked: ReturnType<TokenSource['renew']>;
      try {
        const { token } = entry.source;
        // Another worker's question may have been faster; then the token is another one by now.
        const isCurrent = token !== undefined && refused === entry.serial && token === entry.token;
        asked = isCurrent ? (entry.source.renew(token) ?? token) : entry.source.get();
      } catch (error) {
        return failure(error, false);
      } finally {
        sync();
      }
      try {
        const token = await asked;
        sync();
        return { ok: true, token: toWire(token, entry.serial, clock) };
      } catch (error) {
        return failure(error, true);
      }
    },
    forget: (generation) => void generations.delete(generation),
  };
}

function toWire(token: Token, serial: number, clock: Clock): WireToken {
  const { authorization, since, refreshAfterMs, usableForMs, expiresAt } = token;
  const ageMs = elapsedSince(since, clock.now());
  const lifespan = { sinceWallMs: since.wallMs, ageMs, refreshAfterMs, usableForMs, expiresAt };
  return { serial, authorization: authorization.reveal(), ...lifespan };
}

function failure(thrown: unknown, waited: boolean): Reply {
  const { code, extras } = thrown instanceof SidecarError ? thrown : new SidecarError('SIDECAR_INTERNAL');
  const error: WireError = { code, retryAfterS: extras.retryAfterS, fields: extras.fields };
  return { ok: false, error, waited };
}
