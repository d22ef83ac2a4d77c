/**
 * The allow-list of a route: which methods and paths pass. Hides how a path is matched in bounded time, and which paths are on
 * no list because servers do not agree on what they name.
 */

const ENCODED_SEPARATOR = /%2f|%5c/i;
/** Encoded once more or in too many bytes: what a path consists of, or where some server ends it. */
const HIDDEN = /%(?:00|0[ad]|2e|2f|3b|5c|u[0-9a-f]{4})/i;
const OVERLONG = /%(?:c0%a[ef]|c1%9c|e0%80%a[ef]|e0%81%9c|f0%80%80%a[ef]|f0%80%81%9c)/i;
const MAX_DECODINGS = 4;

interface Allow {
  readonly method: string;
  readonly matches: (path: string) => boolean;
}

/**
 * @param entries `METHOD /glob`, as the configuration has them
 * @returns whether a method may be used on a path, as it stands behind the route's prefix. An encoded separator may be a `/` to
 * the upstream, so a path with one never passes
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
 * Text stands for itself, `*` for what has no `/` in it, `**` for anything, a final `/**` also for nothing. Follows all places
 * of the path at once that the glob can have come to, in ascending order: the time is the number of wildcards times the length
 * of the path, where a regular expression takes the one to the power of the other.
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
    // Where an earlier place has come by, this one has nothing to add.
    for (let at = from; at > (reached.at(-1) ?? -1) && at <= path.length; at += 1) {
      reached.push(at);
      if (wildcard === '*' && path[at] === '/') break;
    }
  }
  return reached;
}

/** Whether a server behind another one, each of which decodes, would read another path than we do. */
function isDisguised(path: string): boolean {
  let plain = path;
  for (let round = 0; plain.includes('%25'); round += 1) {
    plain = decoded(plain);
    if (round === MAX_DECODINGS || HIDDEN.test(plain)) return true;
  }
  return OVERLONG.test(plain);
}

/** Percent-decoded once, and of ASCII alone. */
export function decoded(text: string): string {
  return text.replace(/%([0-7][0-9a-f])/gi, (_all, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}
