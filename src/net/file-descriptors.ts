/**
 * Limits connections from callers to the file descriptors of the process. Without a free descriptor, anything can fail:
 * a probe, a token request, a call to an API. Node has already raised the soft limit to the hard limit. Works on Linux
 * only.
 */
import { readdirSync, readFileSync } from 'node:fs';
import type { Config } from '../config/schema.ts';

/** For listeners, probes, token requests, watched files and refused connections that linger. */
const RESERVE = 24;

export interface Descriptors {
  readonly limit: number;
  readonly open: number;
}

/** Reads limit and use; undefined where the system does not show them or has no limit. */
export function readDescriptors(): Descriptors | undefined {
  try {
    const [, soft] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
    return soft === undefined ? undefined : { limit: Number(soft), open: readdirSync('/proc/self/fd').length };
  } catch {
    return undefined;
  }
}

/**
 * Returns how many connections callers may have: as configured, or fewer to leave room for connections to the APIs.
 * @param origins number of APIs; each has its own connections
 */
export function fitConnections(
  { connections, upstreamConnections }: Pick<Config['limits'], 'connections' | 'upstreamConnections'>,
  origins: number,
  { limit, open }: Descriptors,
): number {
  const free = limit - open - RESERVE;
  const upstream = upstreamConnections * origins;
  if (connections + upstream <= free) return connections;
  // A running request needs one connection on each side, so half of the descriptors is enough for callers.
  return Math.max(1, Math.min(connections, Math.max(free - upstream, Math.floor(free / 2))));
}
