/**
 * `Max-Forwards`, which counts the stations an OPTIONS request may still pass (RFC 9110 §7.6.2).
 */

/** The headers to send on, one station less to go; or that the request ends here. */
export function countForward(method: string, forward: readonly string[]): readonly string[] | 'ends here' {
  if (method !== 'OPTIONS') return forward;
  const at = forward.findIndex((name, index) => index % 2 === 0 && name.toLowerCase() === 'max-forwards');
  const left = forward[at + 1] ?? '';
  if (at === -1 || !/^\d{1,9}$/.test(left)) return forward;
  return Number(left) === 0 ? 'ends here' : forward.with(at + 1, String(Number(left) - 1));
}
