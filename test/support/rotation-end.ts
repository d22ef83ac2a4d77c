/** The state in which a rotation must end, whatever happened before. */
import { readdirSync } from 'node:fs';
import { basename } from 'node:path';
import { FIRST_VALUE, type RotationWorld } from './rotation-world.ts';

/** Returns what is wrong; empty = nothing. */
export async function wrongs(world: RotationWorld): Promise<string[]> {
  const found: string[] = [];
  const stored = world.stored();
  if ((await world.tokenFor(stored)) !== 'accepted') found.push('the stored secret does not work');
  if (stored === FIRST_VALUE) found.push('the old secret is still stored');
  else if ((await world.tokenFor(FIRST_VALUE)) === 'accepted') found.push('the old secret still works');
  if ((await world.listed()).length !== 1) found.push('there is more than one secret');
  const files = readdirSync(world.folder).filter((name) => !name.startsWith(basename(world.file)));
  if (files.length > 0) found.push(`files left behind: ${files.join(', ')}`);
  return found;
}
