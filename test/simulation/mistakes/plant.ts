/** Plants a mistake: the module is changed as it is loaded, the file stays as it is. */
import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { MISTAKES, type Mistake } from './mistakes.ts';

const SOURCE = new URL('../../../src/', import.meta.url);

/** The text of its file with the mistake. @throws Error when the file no longer has the place */
export function withMistake(name: string, { file, from, to }: Mistake): string {
  const text = readFileSync(new URL(file, SOURCE), 'utf8');
  const places = text.split(from).length - 1;
  if (places !== 1) throw new Error(`${name}: src/${file} has its text ${places} times, not once: adapt the mistake`);
  return text.replace(from, () => to);
}

/** Call before any module of `src/` is loaded. @throws Error for an unknown name */
export function plant(name: string): void {
  const mistake = MISTAKES[name];
  if (!mistake) throw new Error(`${name} is unknown; known are ${Object.keys(MISTAKES).join(', ')}`);
  const source = withMistake(name, mistake);
  const { href } = new URL(mistake.file, SOURCE);
  registerHooks({
    load: (url, context, next) =>
      url === href ? { format: 'module-typescript', source, shortCircuit: true } : next(url, context),
  });
}
