/**
 * Finds the place of a configuration problem: its line in the file, or the flag or variable that set the value.
 */
import { type Document, isNode, type LineCounter } from 'yaml';
import type { Override } from './layers.ts';

export interface Problem {
  /** `aritma-sidecar.yaml:12`, `environment variable ARITMA_SCOPE`, `flag --listen` or `flags and environment`. */
  readonly where: string;
  /** Dotted option path, empty for the file as a whole. */
  readonly path: string;
  readonly message: string;
}

interface Source {
  readonly name: string | undefined;
  readonly yaml: Document | undefined;
  readonly lines: LineCounter;
}

/** Returns where the value at `path` comes from: an override, else its line (or its closest parent's) in the file. */
export function locate(path: readonly PropertyKey[], overrides: readonly Override[], file: Source): string {
  const override = overrides.find((candidate) => matches(candidate.path, path));
  if (override) return override.source;
  for (let depth = path.length; depth > 0; depth -= 1) {
    const line = lineOf(path.slice(0, depth), file);
    if (line !== undefined) return `${file.name}:${line}`;
  }
  return file.name ?? 'flags and environment';
}

function matches(input: readonly string[], path: readonly PropertyKey[]): boolean {
  const shorter = Math.min(input.length, path.length);
  if (path.length === 0 || (path.length < input.length && path.length < 3)) return false;
  return input.slice(0, shorter).every((step, index) => step === String(path[index]));
}

/** Uses the line of the key: the value may start on the next line. */
function lineOf(path: readonly PropertyKey[], { yaml, lines }: Source): number | undefined {
  const parent = yaml?.getIn(path.slice(0, -1).map(String), true) ?? yaml?.contents;
  const key = String(path.at(-1));
  const pairs = (parent as { items?: readonly { key?: unknown }[] } | undefined)?.items ?? [];
  const named = pairs.find((pair) => String((pair.key as { value?: unknown } | undefined)?.value) === key);
  const node = named?.key ?? pairs[Number(key)];
  return isNode(node) && node.range ? lines.linePos(node.range[0]).line : undefined;
}
