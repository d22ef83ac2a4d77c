/** What the clients of a store have asked it, from the store's own counters. */
import { SCRIPTS } from '../../src/fleet/scripts.ts';

export interface StoreCounts {
  /** Commands that clients have sent; what scripts call inside of the store is not among them. */
  readonly commands: number;
  /** Of them, heartbeats. */
  readonly beats: number;
}

/** Called by scripts, and by no member itself. */
const INSIDE = new Set(
  Object.values(SCRIPTS).flatMap((lua) =>
    [...lua.matchAll(/redis\.p?call\('(\w+)'/g)].map(([, name = '']) => name.toLowerCase()),
  ),
);
/** Sent to look at the counters. */
const OWN = new Set(['info', 'config|resetstat', 'memory|usage', 'keys', 'ping', 'command|docs']);

/**
 * Reads the response to `INFO commandstats`.
 * @param withScripts false: the clients run no scripts, so every command is theirs
 */
export function countCommands(info: string, withScripts = true): StoreCounts {
  const calls = new Map(
    [...info.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)].map(([, name = '', count]) => [name, Number(count)]),
  );
  const sent = [...calls].filter(([name]) => !OWN.has(name) && !(withScripts && INSIDE.has(name)));
  return {
    commands: sent.reduce((sum, [, count]) => sum + count, 0),
    beats: withScripts ? (calls.get('zadd') ?? 0) : 0,
  };
}
