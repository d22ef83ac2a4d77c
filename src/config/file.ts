/**
 * Reads the configuration file: YAML 1.2, so also JSON. Keeps the line of every value. Quotes nothing of the file: the
 * wrong line may be the one with a password.
 */
import { resolve } from 'node:path';
import { type Document, isMap, isScalar, LineCounter, parseDocument } from 'yaml';
import type { Doc } from './layers.ts';
import type { Problem } from './problems.ts';
import { fileState, readRegularFile } from './regular-file.ts';
import { yamlMistakes } from './yaml-errors.ts';

export interface ConfigFile {
  readonly name: string | undefined;
  readonly path: string | undefined;
  /** Of the file, before it was read. */
  readonly state: string;
  readonly doc: Doc;
  readonly yaml: Document | undefined;
  readonly lines: LineCounter;
}

export interface FileRequest {
  /** From flag or variable; undefined = the default file, which may be missing. */
  readonly asked: string | undefined;
  readonly cwd: string;
}

/** Far more than any configuration needs. */
const MAX_BYTES = 4 * 1024 * 1024;
/** Read when it exists and no other file is named. */
export const DEFAULT_FILE = 'aritma-sidecar.yaml';

/** Returns the parsed file, or the problems that prevent parsing it. */
export function readConfigFile({ asked, cwd }: FileRequest): ConfigFile | { readonly problems: Problem[] } {
  const name = asked ?? DEFAULT_FILE;
  try {
    const path = resolve(cwd, name);
    return parse({ name, path, state: fileState(path) }, readRegularFile(path, MAX_BYTES).toString('utf8'));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (asked === undefined && code === 'ENOENT') {
      return { name: undefined, path: undefined, state: '', doc: {}, yaml: undefined, lines: new LineCounter() };
    }
    return { problems: [{ where: name, path: '', message }] };
  }
}

type Named = { readonly name: string; readonly path: string; readonly state: string };

function parse({ name, path, state }: Named, content: string): ConfigFile | { readonly problems: Problem[] } {
  const lines = new LineCounter();
  const text = content.replace(/^\uFEFF/, '');
  const yaml = parseDocument(text, { version: '1.2', lineCounter: lines, prettyErrors: false });
  const at = (line: number, message: string): Problem => ({ where: `${name}:${line}`, path: '', message });
  if (text.includes('\0')) return { problems: [at(1, 'is UTF-16, which `>` of PowerShell writes: save it as UTF-8')] };
  if (yaml.errors.length > 0)
    return { problems: yamlMistakes({ yaml, lines, text }).map(({ line, message }) => at(line, message)) };
  const empty = yaml.contents === null || (isScalar(yaml.contents) && yaml.contents.value === null);
  if (!empty && !isMap(yaml.contents)) {
    return {
      problems: [at(1, 'must contain options such as `environment: dev`, with a space after the colon')],
    };
  }
  try {
    const doc = (yaml.toJS() ?? {}) as Doc;
    // Throws for an alias inside what it names: whoever walks the document would never come to an end.
    JSON.stringify(doc);
    return { name, path, state, doc, yaml, lines };
  } catch {
    // Not the message of the library: it quotes the alias.
    return {
      problems: [
        at(
          1,
          'has an alias (*) without an anchor (&) or inside its own one, or too many aliases; put a value that begins with * in quotes',
        ),
      ],
    };
  }
}
