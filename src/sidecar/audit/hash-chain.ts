/**
 * The form of an audit log: one JSON line per entry, each holding the hash of the line before and of itself, so that a
 * line that was changed, moved or taken out breaks the chain at a place that can be named. Pure.
 */
import { createHash } from 'node:crypto';

/** What an entry tells, beside its place in the chain. */
export type Facts = Readonly<Record<string, string | number | boolean | undefined>>;

/** The end of a chain: what the next line builds on. */
export interface Head {
  /** Of the last line; 0 = none yet. */
  readonly seq: number;
  readonly hash: string;
}

/** Where every chain begins. */
export const GENESIS: Head = { seq: 0, hash: '0'.repeat(64) };

const SUFFIX = /,"hash":"([0-9a-f]{64})"\}$/;

/** The line for an entry, without its newline, and the head it makes. */
export function link(head: Head, facts: Facts): { line: string; head: Head } {
  const seq = head.seq + 1;
  const content = JSON.stringify({ seq, ...facts, prev: head.hash });
  const hash = sha256(content);
  return { line: `${content.slice(0, -1)},"hash":"${hash}"}`, head: { seq, hash } };
}

/** What is wrong with a line that should follow `head`, in words for a person; or the head it makes. */
export function follow(head: Head | undefined, line: string): Head | string {
  const hash = SUFFIX.exec(line)?.[1];
  const content = line.replace(SUFFIX, '}');
  const entry = parse(content);
  if (hash === undefined || !entry) return 'is not a complete audit line';
  if (sha256(content) !== hash) return 'was changed after it was written';
  if (head && entry.seq !== head.seq + 1) return `has number ${entry.seq}, where ${head.seq + 1} should be`;
  if (head && entry.prev !== head.hash) return 'does not continue the line before it';
  return { seq: entry.seq, hash };
}

function parse(content: string): { seq: number; prev: string } | undefined {
  try {
    const { seq, prev } = JSON.parse(content) as { seq?: unknown; prev?: unknown };
    return typeof seq === 'number' && typeof prev === 'string' ? { seq, prev } : undefined;
  } catch {
    // Not JSON is not a line of ours.
    return undefined;
  }
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
