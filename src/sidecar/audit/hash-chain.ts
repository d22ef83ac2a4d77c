/**
 * The format of an audit log: one JSON line per entry, with the hash of the previous line and of itself. A line that was
 * changed, moved or removed breaks the chain at that line. Pure functions.
 */
import { createHash } from 'node:crypto';

/** The content of an entry, without its place in the chain. */
export type Facts = Readonly<Record<string, string | number | boolean | undefined>>;

/** The end of a chain: the next line continues it. */
export interface Head {
  /** Number of the last line; 0 = none yet. */
  readonly seq: number;
  readonly hash: string;
}

/** The start of every chain. */
export const GENESIS: Head = { seq: 0, hash: '0'.repeat(64) };

const SUFFIX = /,"hash":"([0-9a-f]{64})"\}$/;

/**
 * Returns the line for an entry, without its newline, and the new head.
 * @example
 * const { line, head } = link(GENESIS, { event: 'opened' });
 */
export function link(head: Head, facts: Facts): { line: string; head: Head } {
  const seq = head.seq + 1;
  const content = JSON.stringify({ seq, ...facts, prev: head.hash });
  const hash = sha256(content);
  return { line: `${content.slice(0, -1)},"hash":"${hash}"}`, head: { seq, hash } };
}

/** Checks the line after `head`. Returns the new head, or a text that says what is wrong. @param head undefined = any */
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
    // A line that is not JSON is no audit line.
    return undefined;
  }
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
