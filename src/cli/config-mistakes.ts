/** What is wrong with the choices of `config init`, in the words of its flags. Reads no file, variable or secret. */
import { reportIssue, wording } from '../config/issues.ts';
import { type Doc, layer } from '../config/layers.ts';
import { checkRules, validParts } from '../config/rules.ts';
import { ConfigSchema } from '../config/schema.ts';
import { type Choices, documentOf, namesIn } from './config-document.ts';

/**
 * Returns what is wrong with the choices: first with how they are written, then what the loader would refuse. `text` also has
 * the path of an option that is one of many.
 */
export function mistakesIn(choices: Choices): (Mistake & { readonly text: string })[] {
  const written = writtenWrong(choices);
  const refused = problemsIn(documentOf(choices)).filter(
    ({ path }) => !written.some((one) => partOf(one.path) === partOf(path)),
  );
  // Each route has the same headers: one line is enough.
  const all = [...written, ...refused].map(({ path: whole, message }) => {
    const path = whole.replace(/^routes\.\d+\.headers/, 'headers');
    return { path, message, text: path.includes('.') ? `${path} ${message}` : message };
  });
  return [...new Map(all.map((one) => [one.text, one])).values()];
}

interface Mistake {
  /** The dotted path of the option; below `headers` the same for all routes. */
  readonly path: string;
  readonly message: string;
}

const PARTS = ['headers', 'routes', 'secrets'];

const partOf = (path: string) => PARTS.find((part) => path.includes(part)) ?? path;

/** What the document no longer shows. */
function writtenWrong({ calls, headers = [], secret }: Choices): Mistake[] {
  const names = namesIn(calls);
  const unknown = names.filter((name) => !name.includes('=') && !/^\/?(?:banking|events)$/.test(name));
  const bare = headers.filter((header) => !/[=:]/.test(header));
  const isQuoted = secret?.exec?.some((word) => /^["']|["']$/.test(word)) ?? false;
  return [
    ...(names.length === 0 ? [{ path: 'routes', message: 'must name banking, events or /PATH=URL' }] : []),
    ...unknown.map((name) => ({
      path: 'routes',
      message: `${name} is neither banking nor events; write another API as /PATH=URL`,
    })),
    ...bare.map(() => ({ path: 'headers', message: 'must be NAME=VALUE, such as Subscription-Id=3f1c9a52' })),
    ...(isQuoted ? [{ path: 'secrets', message: QUOTED }] : []),
  ];
}

const QUOTED =
  'has quotes, but is split at spaces only, without a shell; write --secret-exec PROGRAM, then edit the list under `exec` in the file';

/** Returns what the loader would refuse, with the dotted path of each option. Reads no file, variable or secret. */
export function problemsIn(document: Doc): Mistake[] {
  const whole = layer(document, []);
  const problems: Mistake[] = [];
  const report = (path: readonly PropertyKey[], message: string) => problems.push({ path: path.join('.'), message });
  for (const issue of ConfigSchema.safeParse(whole, { error: wording }).error?.issues ?? []) reportIssue(issue, report);
  checkRules(validParts(whole), report);
  return problems;
}
