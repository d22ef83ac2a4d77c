/** Plants a mistake: the module is changed as it is loaded, the file stays as it is. */
import { readFileSync } from 'node:fs';
import { MISTAKES } from './mistakes.ts';

const SOURCE = new URL('../../../src/', import.meta.url);

/** Returns what `installPlatform` does with each module. @throws Error for an unknown name, or when `src/` no longer has its place */
export function plant(name: string): (url: string, source: string) => string {
  const mistake = MISTAKES[name];
  if (!mistake) throw new Error(`${name} is unknown; known are ${Object.keys(MISTAKES).join(', ')}`);
  const { file, from, to } = mistake;
  const planted = new URL(file, SOURCE);
  const places = readFileSync(planted, 'utf8').split(from).length - 1;
  if (places !== 1) throw new Error(`${name}: src/${file} has its text ${places} times, not once: adapt the mistake`);
  return (url, source) => (url === planted.href ? source.replace(from, () => to) : source);
}
