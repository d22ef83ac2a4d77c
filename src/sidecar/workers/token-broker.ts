/**
 * Where the tokens of the primary leave its process: every new one goes to all workers, so does word of one that is not to
 * be used any more, and questions of workers end in the same `get` and `renew` that callers of one process use. However
 * many workers see the same token refused, it is renewed once.
 */
import { type Clock, elapsedSince } from '../../core/clock.ts';
import type { Token } from '../../oauth/token.ts';
import type { TokenSource } from '../../oauth/token-source.ts';
import type { TokenQuestion, TokenReply, WireToken, WorkerApi } from './protocol.ts';
import { toWire } from './rpc.ts';

export interface TokenBrokerOptions {
  readonly broadcast: (news: Parameters<WorkerApi['token']>[0]) => void;
  readonly clock: Clock;
}

export interface TokenBroker {
  /** Sources of a new generation; a question names one by its position. */
  open(number: number, sources: readonly TokenSource[]): void;
  /** What they have now. */
  tokens(number: number): (WireToken | undefined)[];
  /** Looks for tokens that came or went, and tells the workers. */
  sync(): void;
  ask(question: TokenQuestion): Promise<TokenReply>;
  forget(number: number): void;
}

interface Entry {
  readonly source: TokenSource;
  /** What workers were told last. */
  token: Token | undefined;
  serial: number;
}

export function createTokenBroker({ broadcast, clock }: TokenBrokerOptions): TokenBroker {
  const generations = new Map<number, readonly Entry[]>();
  const wire = ({ token, serial }: Entry): WireToken | undefined => token && packToken(token, serial, clock);

  const look = (entry: Entry): boolean => {
    const { token } = entry.source;
    if (token === entry.token) return false;
    entry.token = token;
    if (token) entry.serial += 1;
    return true;
  };
  const sync = () => {
    for (const [number, entries] of generations) {
      entries.forEach((entry, source) => {
        if (look(entry)) broadcast({ number, source, token: wire(entry) });
      });
    }
  };
  return {
    open(number, sources) {
      const entries = sources.map((source) => ({ source, token: source.token, serial: 1 }));
      generations.set(number, entries);
    },
    tokens: (number) => (generations.get(number) ?? []).map(wire),
    sync,
    async ask({ number, source, refused }) {
      const entry = generations.get(number)?.[source];
      if (!entry) return { failed: toWire(undefined), waited: false };
      let waited = false;
      try {
        const { token } = entry.source;
        // Another worker's question may have been faster; then the token is another one by now.
        const isCurrent = token !== undefined && refused === entry.serial && token === entry.token;
        const asked = isCurrent ? (entry.source.renew(token) ?? token) : entry.source.get();
        sync();
        waited = true;
        const found = await asked;
        sync();
        return { token: packToken(found, entry.serial, clock) };
      } catch (thrown) {
        return { failed: toWire(thrown), waited };
      } finally {
        sync();
      }
    },
    forget: (number) => void generations.delete(number),
  };
}

function packToken(token: Token, serial: number, clock: Clock): WireToken {
  const { authorization, since, refreshAfterMs, usableForMs, expiresAt } = token;
  const ageMs = elapsedSince(since, clock.now());
  const lifespan = { sinceWallMs: since.wallMs, ageMs, refreshAfterMs, usableForMs, expiresAt };
  return { serial, authorization: authorization.reveal(), ...lifespan };
}
