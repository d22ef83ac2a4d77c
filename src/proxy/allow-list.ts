/**
 * The allow-list of a route: which methods and paths it allows. Matches in bounded time, and refuses paths that different
 * servers read differently.
 */

const ENCODED_SEPARATOR = /%2f|%5c/i;
/** Characters with a meaning in paths, or that end a path on some servers: encoded, or as overlong UTF-8. */
const HIDDEN = /%(?:00|0[ad]|2e|2f|3b|5c|u[0-9a-f]{4})/i;
const OVERLONG = /%(?:c0%a[ef]|c1%9c|e0%80%a[ef]|e0%81%9c|f0%80%80%a[ef]|f0%80%81%9c)/i;
const MAX_DECODINGS = 4;

interface Allow {
  readonly method: string;
  readonly matches: (path: string) => boolean;
}

/**
 * Compiles an allow-list.
 * @param entries `METHOD /glob`, as configured
 * @returns whether a method is allowed on a path without the route's prefix. Paths with an encoded separator are never
 * allowed, because the upstream may treat it as `/`
 * @example
 * compileAllowList(['GET /accounts/**'])('GET', '/accounts/1'); // true
 */
export function compileAllowList(entries: readonly string[]): (method: string, path: string) => boolean {
  const list = entries.map(compileAllow);
  return (method, path) => {
    if (ENCODED_SEPARATOR.test(path) || isDisguised(path)) return false;
    return list.some((entry) => (entry.method === '*' || entry.method === method) && entry.matches(path));
  };
}

function compileAllow(entry: string): Allow {
  const [method = '', glob = ''] = entry.split(' ');
  return { method, matches: compileGlob(glob) };
}

/**
 * `*` matches anything without `/`, `**` anything, a final `/**` also nothing; other text matches itself. Tracks all
 * positions in the path that the glob can have reached, in ascending order. So the time is wildcards times path length; a
 * regular expression would backtrack exponentially.
 */
function compileGlob(glob: string): (path: string) => boolean {
  const steps = glob.match(/\/\*\*$|\*\*|\*|(?:(?!\/\*\*$)[^*])+/g) ?? [];
  return (path) => {
    let places: readonly number[] = [0];
    for (const step of steps) {
      if (step === '/**') return places.some((at) => at === path.length || path[at] === '/');
      places = step.startsWith('*') ? afterWildcard(step, path, places) : afterText(step, path, places);
    }
    return places.at(-1) === path.length;
  };
}

function afterText(text: string, path: string, places: readonly number[]): readonly number[] {
  return places.filter((at) => path.startsWith(text, at)).map((at) => at + text.length);
}

function afterWildcard(wildcard: string, path: string, places: readonly number[]): readonly number[] {
  const reached: number[] = [];
  for (const from of places) {
    // Positions that an earlier start has reached are already in the list.
    for (let at = from; at > (reached.at(-1) ?? -1) && at <= path.length; at += 1) {
      reached.push(at);
      if (wildcard === '*' && path[at] === '/') break;
    }
  }
  return reached;
}

/** Whether a chain of servers that each decode the path would read another path than this check. */
function isDisguised(path: string): boolean {
  let plain = path;
  for (let round = 0; plain.includes('%25'); round += 1) {
    plain = decoded(plain);
    if (round === MAX_DECODINGS || HIDDEN.test(plain)) return true;
  }
  return OVERLONG.test(plain);
}

/** Percent-decodes a text once, ASCII only. */
export function decoded(text: string): string {
  return text.replace(/%([0-7][0-9a-f])/gi, (_all, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}
