/** Plants a mistake: the module is changed as it is loaded, the file stays as it is. */
import { readFileSync } from 'node:fs';
import type { Fleets } from '../history.ts';
import { MISTAKES, type Mistake } from './mistakes.ts';

const SOURCE = new URL('../../../src/', import.meta.url);

/**
 * Returns what `installPlatform` does with each module.
 * @throws Error for an unknown name, when its histories are not played, or when `src/` no longer has its place
 */
export function plant(name: string, fleets: Fleets = 'all'): (url: string, source: string) => string {
  const { file, from, to, needs } = mistakeOf(name);
  if (needs === 'fleet' && fleets !== 'all') throw new Error(`--plant ${name}: needs --fleets all`);
  const planted = new URL(file, SOURCE);
  const places = readFileSync(planted, 'utf8').split(from).length - 1;
  if (places !== 1) throw new Error(`${name}: src/${file} has its text ${places} times, not once: adapt the mistake`);
  return (url, source) => (url === planted.href ? source.replace(from, () => to) : source);
}

/** @throws Error for an unknown name */
export function mistakeOf(name: string): Mistake {
  const mistake = Object.hasOwn(MISTAKES, name) ? MISTAKES[name] : undefined;
  if (mistake) return mistake;
  throw new Error(`${name || 'this mistake'} is unknown; known are:\n${Object.keys(MISTAKES).join('\n')}`);
}
