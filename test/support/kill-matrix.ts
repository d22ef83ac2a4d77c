/** The changes a program makes, in the order it makes them, as points at which it can die. Pure. */

export type When = 'before' | 'middle' | 'after';

export interface Point {
  /** As the program's log of changes names it: `rename .secret.aritma-new secret #1`, `POST secrets #1`. */
  readonly change: string;
  readonly when: When | 'failing';
  /** With `failing`: what the system says. */
  readonly errno?: string;
}

/** Every point there is: a write has a middle, everything else is done or not. */
export function pointsOf(changes: readonly string[]): Point[] {
  return changes.flatMap((change) =>
    (isWrite(change) ? (['before', 'middle', 'after'] as const) : (['before', 'after'] as const)).map((when) => ({
      change,
      when,
    })),
  );
}

/** Of those, the ones on disk, each failing instead. */
export function failuresOf(changes: readonly string[], errno: string): Point[] {
  return changes.filter((change) => !isRequest(change)).map((change) => ({ change, when: 'failing' as const, errno }));
}

export const isRequest = (change: string) => /^(GET|POST|PUT|DELETE) /.test(change);
const isWrite = (change: string) => change.startsWith('write ');

/**
 * What a power cut could still undo where it must not: a file renamed before its content is on disk, or a request sent
 * while a rename is not. Empty = nothing.
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
