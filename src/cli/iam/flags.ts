/**
 * Flags of the IAM commands, and what is said of a wrong one.
 */
import { SidecarError } from '../../core/errors.ts';

/** As commander hands them over; repeatable ones are lists. */
export type IamFlags = Readonly<Record<string, string | boolean | readonly string[] | undefined>>;

/** A mistake on the command line: exit code 2. */
export function usageError(flag: string, message: string): SidecarError {
  return new SidecarError('CONFIG_INVALID', { problems: [{ where: flag, path: '', message }] });
}

/** A flag that was given a value. */
export function textFlag(flags: IamFlags, name: string): string | undefined {
  const value = flags[name];
  return typeof value === 'string' ? value : undefined;
}
