/** A log line for a person at a terminal. */
import { visible } from './terminal.ts';

/** Returns a JSON line of the log as readable text, with its line break. */
export function toText(line: string): string {
  const { level, time, message, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const rest = Object.entries(fields).map(([name, value]) => `${name}=${printable(value)}`);
  return `${String(time).slice(11, 23)} ${String(level).padEnd(5)} ${[String(message), ...rest].join('  ')}\n`;
}

/** Callers choose paths and methods: quoting keeps their escape sequences off the operator's terminal. */
function printable(value: unknown): string {
  const text = String(value);
  if (/^[\x21-\x7e]+$/.test(text)) return text;
  // JSON does not escape DEL, C1 controls, direction overrides and line separators.
  return visible(JSON.stringify(text));
}
