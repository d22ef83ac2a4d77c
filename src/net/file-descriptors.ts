/**
 * Makes the connections of callers fit the file descriptors this process may open, because running out of them hits
 * whoever comes next: a probe, a token request, a response half sent. Node has raised the soft limit to the hard
 * one by the time it runs this. Only Linux tells.
 */
import { readdirSync, readFileSync } from 'node:fs';
import type { Config } from '../config/schema.ts';

/** Listeners, probes, token requests, files that are looked at again, refused connections that linger. */
const RESERVE = 24;

export interface Descriptors {
  readonly limit: number;
  readonly open: number;
}

/** Undefined where the system does not tell, or has no limit. */
export function readDescriptors(): Descriptors | undefined {
  try {
    const [, soft] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
    return soft === undefined ? undefined : { limit: Number(soft), open: readdirSync('/proc/self/fd').length };
  } catch {
    return undefined;
  }
}

/**
 * Connections that callers may really have: as configured, or fewer so that connections to APIs fit beside them.
 * @param origins number of APIs, each with its own connections
 */
export function fitConnections(
  { connections, upstreamConnections }: Pick<Config['limits'], 'connections' | 'upstreamConnections'>,
  origins: number,
  { limit, open }: Descriptors,
): number {
  const free = limit - open - RESERVE;
  const upstream = upstreamConnections * origins;
  if (connections + upstream <= free) return connections;
  // A running request has one connection on each side, so half is as good as everything the APIs could have.
  return Math.max(1, Math.min(connections, Math.max(free - upstream, Math.floor(free / 2))));
}
