/**
 * Parses flag values, or throws an error that names the flag.
 */
import { INPUTS } from '../config/env-and-flags.ts';
import { type Address, parseAddress, parseDurationMs } from '../config/parsers.ts';
import { SidecarError } from '../core/errors.ts';

/** Values as commander passes them, by camel-cased flag; `operands` if the command takes any. */
export type Flags = Readonly<Record<string, string | boolean | readonly string[] | undefined>>;

/** Converts commander's camel case back to the names of the option table. */
export function inputFlags(flags: Flags): Record<string, string> {
  const given: Record<string, string> = {};
  for (const { flag } of INPUTS) {
    const value = flag && flags[flag.slice(2).replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())];
    if (flag !== undefined && typeof value === 'string') given[flag] = value;
  }
  return given;
}

/** @throws SidecarError CONFIG_INVALID */
export function tcpAddress(value: unknown, flag: string): Extract<Address, { kind: 'tcp' }> {
  const address = usable(() => parseAddress(String(value)), flag);
  if (address.kind !== 'tcp') throw invalidFlag(flag, 'must be host:port');
  return address;
}

/** Returns milliseconds. @throws SidecarError CONFIG_INVALID */
export function duration(value: unknown, flag: string): number {
  return usable(() => parseDurationMs(String(value)), flag);
}

function usable<T>(parse: () => T, flag: string): T {
  try {
    return parse();
  } catch (error) {
    throw invalidFlag(flag, (error as Error).message);
  }
}

function invalidFlag(flag: string, message: string): SidecarError {
  return new SidecarError('CONFIG_INVALID', { problems: [{ where: `flag ${flag}`, path: '', message }] });
}
