/**
 * Building blocks of the option table: an option with its description and, where the program uses more than text, a
 * parser.
 */
import { z } from 'zod';
import { parsePositiveDurationMs } from './parsers.ts';

// Zod would generate and compile code for each object, which takes longer than a start needs to check one configuration.
z.config({ jitless: true });

type Meta = { readonly description: string; readonly examples?: readonly string[] };

/** The description of an option, as zod metadata. */
export const meta = (description: string, extra: Omit<Meta, 'description'> = {}): Meta => ({ description, ...extra });

/** Returns a string option with a parser, which returns the typed value or throws an Error saying what is allowed. */
export function parsed<T>(parse: (text: string) => T, about: Meta) {
  return z
    .string({
      error: ({ input }) =>
        ['number', 'boolean'].includes(typeof input) ? complaint(parse, String(input)) : undefined,
    })
    .transform((text, context): T => {
      try {
        return parse(text);
      } catch (error) {
        context.addIssue({ code: 'custom', message: (error as Error).message });
        return z.NEVER;
      }
    })
    .meta(about);
}

/** For a number without a unit: the parser suggests what to write, the schema would only ask for quotes. */
function complaint(parse: (text: string) => unknown, text: string): string | undefined {
  try {
    parse(text);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** An option with a duration greater than 0. @param fallback default, as written in a file */
export const duration = (fallback: string, description: string) =>
  parsed(parsePositiveDurationMs, meta(description)).prefault(fallback);
