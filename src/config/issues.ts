/**
 * Turns issues of the schema into what an operator should write instead. Never repeats a value: it may be a password in
 * the wrong place.
 */
import type { z } from 'zod';
import { closest } from '../core/closest.ts';
import { optionRows } from './describe.ts';
import type { Report } from './rules.ts';
import type { ConfigSchema } from './schema.ts';
import { allowedKeys } from './schema-path.ts';

type ZodIssue = NonNullable<ReturnType<typeof ConfigSchema.safeParse>['error']>['issues'][number];

/** Reports an issue of the schema as problems, each at its option. */
export function reportIssue(issue: ZodIssue, report: Report): void {
  // The intended alternative is the one where only something inside is wrong.
  const meant = issue.code === 'invalid_union' && issue.errors.find((inner) => inner.every(isInside));
  if (meant) {
    for (const inner of meant) reportIssue({ ...inner, path: [...issue.path, ...inner.path] }, report);
    return;
  }
  if (issue.code !== 'unrecognized_keys') {
    report(issue.path, (issue.code === 'invalid_key' && issue.issues[0]?.message) || issue.message);
    return;
  }
  for (const key of issue.keys) {
    // People put the secret itself instead of its source by mistake; a plain word is not a secret.
    const hidden = issue.path.some((step) => step === 'secrets' || step === 'keys') && !/^[a-z]{1,10}$/i.test(key);
    report(hidden ? issue.path : [...issue.path, key], unknownOption(key, allowedKeys(issue.path)));
  }
}

/**
 * Reports each `__proto__` of the document that was not reported as an unknown option: where names are free, the schema
 * drops it without an issue.
 */
export function reportDropped(value: unknown, report: Report, path: readonly PropertyKey[] = []): void {
  if (typeof value !== 'object' || value === null) return;
  for (const [key, inner] of Object.entries(value)) {
    const isFree = key === '__proto__' && allowedKeys(path).length === 0;
    if (isFree) report([...path, key], 'cannot be used as a name: choose another one');
    else reportDropped(inner, report, [...path, Array.isArray(value) ? Number(key) : key]);
  }
}

function isInside({ path, code }: ZodIssue): boolean {
  return path.length > 0 || code === 'unrecognized_keys' || code === 'too_small' || code === 'too_big';
}

function unknownOption(key: string, allowed: readonly string[]): string {
  const near = closest(key, allowed);
  const places = near === undefined ? placesOf(key) : [];
  const elsewhere = places.length === 0 ? '' : ` (it belongs elsewhere: ${places.join(' or ')})`;
  const meant = near === undefined ? elsewhere : ` (did you mean ${near}?)`;
  return `unknown option${meant}; allowed here: ${allowed.join(', ')}`;
}

const MOST_PLACES = 3;

/** Returns where the option table has this name; empty if it has it in too many places. */
function placesOf(key: string): string[] {
  const places = optionRows().flatMap(({ path }) => {
    const steps = path.split('.');
    const at = steps.findIndex((step) => step.replace('[]', '') === key);
    return at === -1
      ? []
      : [
          steps
            .slice(0, at + 1)
            .join('.')
            .replace(/\[\]$/, ''),
        ];
  });
  const different = [...new Set(places)];
  return different.length > MOST_PLACES ? [] : different;
}

/** Returns the message for an issue; undefined = the schema has its own message. */
export function wording(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.code === 'invalid_type') {
    if (issue.input === undefined) return 'is required';
    return `must be ${TYPES[issue.expected] ?? issue.expected}${howToWrite(issue.expected, issue.input)}`;
  }
  if (issue.code === 'invalid_value') {
    const near = typeof issue.input === 'string' ? closest(issue.input, issue.values.map(String)) : undefined;
    return `must be one of: ${issue.values.join(', ')}${near === undefined ? '' : `; did you mean ${near}?`}`;
  }
  if (issue.code === 'too_small') return bound('at least', issue.minimum, issue.origin);
  if (issue.code === 'too_big') return bound('at most', issue.maximum, issue.origin);
  return undefined;
}

function howToWrite(expected: string, input: unknown): string {
  if (input === null) return '; it has no value: add one, or remove the option';
  if (expected === 'string') return typeof input === 'object' ? '' : '; put it in quotes';
  if (expected === 'array') return '; put [ ] around it, or `- ` before each entry';
  if (expected === 'object' || expected === 'record') return '; write `name: value` on indented lines below it';
  if (expected === 'boolean') return ', without quotes; not yes or no';
  return typeof input === 'string' ? '; write it without quotes' : '';
}

const TYPES: Readonly<Record<string, string>> = {
  string: 'text',
  boolean: 'true or false',
  number: 'a number',
  int: 'a whole number',
  array: 'a list',
  object: 'a mapping',
  record: 'a mapping',
};

function bound(limit: string, value: number | bigint, origin: string): string {
  if (origin === 'array') return `must have ${limit} ${value} ${Number(value) === 1 ? 'entry' : 'entries'}`;
  return `must be ${limit} ${value}${origin === 'string' ? ' characters long' : ''}`;
}
