/** The changes that a program makes, in order, as points at which it can be killed. Pure functions. */

export type When = 'before' | 'middle' | 'after';

export interface Point {
  /** As in the program's log of changes: `rename .secret.aritma-new secret #1`, `POST secrets #1`. */
  readonly change: string;
  readonly when: When | 'failing';
  /** With `failing`: the system's code. */
  readonly errno?: string;
}

/** All points: a write has a middle, everything else is done or not done. */
export function pointsOf(changes: readonly string[]): Point[] {
  return changes.flatMap((change) =>
    (isWrite(change) ? (['before', 'middle', 'after'] as const) : (['before', 'after'] as const)).map((when) => ({
      change,
      when,
    })),
  );
}

/** Those on disk, each failing instead. */
export function failuresOf(changes: readonly string[], errno: string): Point[] {
  return changes.filter((change) => !isRequest(change)).map((change) => ({ change, when: 'failing' as const, errno }));
}

export const isRequest = (change: string) => /^(GET|POST|PUT|DELETE) /.test(change);
const isWrite = (change: string) => change.startsWith('write ');

/**
 * What a power failure could wrongly undo: a file renamed before its content is on disk, or a request sent while a rename
 * is not on disk. Empty = nothing.
 */
export function undoable(changes: readonly string[]): string[] {
  const wrong: string[] = [];
  let renamed = '';
  const synced = new Set<string>();
  for (const change of changes) {
    const [method = '', ...names] = change.replace(/ #\d+$/, '').split(' ');
    const [name = ''] = names;
    if (method === 'write') synced.delete(name);
    if (method === 'sync') synced.add(name);
    if (method === 'sync' && name === 'folder') renamed = '';
    if (method === 'rename' && !synced.has(name)) wrong.push(`${change}: its content may not be on disk`);
    if (method === 'rename') renamed = change;
    if (isRequest(change) && renamed !== '') wrong.push(`${change}: ${renamed} may not be on disk`);
  }
  return wrong;
}
