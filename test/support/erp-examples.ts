/** The examples of deploy/README.md, by heading. */
import { readText } from './deployment.ts';

const sections = readText('README.md').split(/^### /m).slice(1);

/** The first code block under each heading. */
export const EXAMPLES: ReadonlyMap<string, string> = new Map(
  sections.flatMap((section) => {
    const heading = section.slice(0, section.indexOf('\n'));
    const [, code] = /^```\w+\n([\s\S]*?)^```$/m.exec(section) ?? [];
    return code === undefined ? [] : [[heading, code] as const];
  }),
);

export function exampleOf(heading: string): string {
  const code = EXAMPLES.get(heading);
  if (code === undefined) throw new Error(`deploy/README.md has no example ${heading}`);
  return code;
}
