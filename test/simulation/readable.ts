/** Lines of a trace as a person reads them. */

const JWT = /\beyJ[\w-]+\.[\w-]+\.[\w-]*([\w-]{6})\b/g;

/** A log line of the sidecar as its message and its fields, and each JWT as its last characters. */
export function readable(line: string): string {
  const short = line.replaceAll(JWT, (_all, end) => `jwt-${end}`);
  const [head = '', json] = short.split(/(?=\{"level")/);
  if (json === undefined) return short;
  const { level, time, message, ...fields } = JSON.parse(json) as Record<string, unknown>;
  const rest = Object.entries(fields).map(([name, value]) => `${name}=${value}`);
  return `${head}[${level}, ${String(time).slice(11)}] ${message} ${rest.join(' ')}`;
}
