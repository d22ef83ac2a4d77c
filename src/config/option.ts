/**
 * How an option of the table is written down: with its description, and with a parser where text in a file becomes
 * something better in the program.
 */
import { z } from 'zod';
import { parsePositiveDurationMs } from './parsers.ts';

type Meta = { readonly description: string; readonly examples?: readonly string[] };

export const meta = (description: string, extra: Omit<Meta, 'description'> = {}): Meta => ({ description, ...extra });

/** A string option with a parser that either returns the typed value or throws an Error saying what is allowed. */
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

/** Of a number without a unit the parser knows what to write, where the schema only misses quotes. */
function complaint(parse: (text: string) => unknown, text: string): string | undefined {
  try {
    parse(text);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

export const duration = (fallback: string, description: string) =>
  parsed(parsePositiveDurationMs, meta(description)).prefault(fallback);
