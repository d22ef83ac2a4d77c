/**
 * Loads the configurations that pages show, as the sidecar does. Hides that the files they name are made for it: certificates,
 * keys and secrets of its own, in a folder of its own.
 */
import { isAbsolute, join } from 'node:path';
import { isMap, isScalar, parseDocument, visit } from 'yaml';
import { CredentialSchema } from '../../src/config/credential-schema.ts';
import { loadConfig } from '../../src/config/load.ts';
import { RouteSchema } from '../../src/config/route-schema.ts';
import { ConfigSchema } from '../../src/config/schema.ts';
import { SidecarError } from '../../src/core/errors.ts';
import type { Authority } from './certificates.ts';
import { hasMarker } from './doc-blocks.ts';
import { createFolder, type Folder } from './folder.ts';
import type { Fence, Page } from './markdown.ts';

type Doc = Readonly<Record<string, unknown>>;

/** Where a fragment may belong, by the options there. */
const PLACES: readonly { readonly options: object; readonly place: (fragment: Doc) => Doc }[] = [
  { options: ConfigSchema.shape, place: (fragment) => fragment },
  { options: CredentialSchema.shape, place: (fragment) => ({ credentials: { default: fragment } }) },
  { options: RouteSchema.shape, place: (fragment) => ({ routes: [{ path: '/banking', ...fragment }] }) },
];

/** What a fragment is added to. */
const BASE: Doc = {
  environment: 'emulator',
  iam: { credential: 'admin' },
  credentials: {
    default: { clientId: 'my-erp', secrets: [{ file: '/etc/aritma/secret' }] },
    admin: {
      tokenEndpoint: 'http://127.0.0.1:7100/connect/token',
      clientId: 'my-admin',
      secrets: [{ file: '/etc/aritma/admin' }],
    },
  },
};

/** A sentence for each `yaml` or `json` block that is not what it should be, with page and line. */
export function configProblems(page: Page, authority: Authority): string[] {
  return page.fences.flatMap((fence) => {
    const at = `${page.path}:${fence.line}`;
    if (fence.language === 'json') return jsonProblem(fence).map((problem) => `${at}: ${problem}`);
    if (fence.language !== 'yaml' || hasMarker(fence, 'not a configuration')) return [];
    const isFragment = hasMarker(fence, 'fragment');
    const problems = problemsOf(fence.text, isFragment ? completed : (doc) => doc, authority);
    if (problems.length === 0) return [];
    const others = [
      ...(isFragment ? [] : ['`<!-- fragment -->` if it is a part of one']),
      '`<!-- not a configuration: REASON -->` if it is something else',
    ];
    return [
      `${at}: the sidecar refuses this configuration:\n${problems.map((problem) => `  ${problem}\n`).join('')}Mend the block. ` +
        `Or write on a line of its own above line ${fence.line}, directly above the fence: ${others.join(', ')}.`,
    ];
  });
}

function jsonProblem({ text }: Fence): string[] {
  try {
    JSON.parse(text);
    return [];
  } catch (error) {
    return [`this is no JSON: ${String(error)}. Mend the block, or take \`json\` off the fence`];
  }
}

/** Put where all of its options are known; at the top if nowhere. */
function completed(fragment: Doc): Doc {
  const isKnown = ({ options }: (typeof PLACES)[number]) => Object.keys(fragment).every((name) => name in options);
  return merged(BASE, PLACES.find(isKnown)?.place(fragment) ?? fragment);
}

function problemsOf(text: string, complete: (doc: Doc) => Doc, authority: Authority): readonly string[] {
  const parsed = parseDocument(text);
  if (parsed.errors.length > 0) return parsed.errors.map(({ message }) => message);
  if (!isMap(parsed.contents)) return ['it is no mapping'];
  using folder = createFolder();
  const whole = parseDocument(JSON.stringify(complete(parsed.toJS() as Doc)));
  visit(whole, {
    Pair(_key, { key, value }) {
      if (!isScalar(key) || !isScalar(value) || typeof value.value !== 'string' || !isAbsolute(value.value)) return;
      value.value = fileFor(String(key.value), value.value, folder, authority);
    },
  });
  try {
    const printed = () => ({ name: ' of the page', text: 'a-secret-0123456789abcdef', ms: 1 });
    loadConfig({ env: {}, file: folder.write('config.yaml', String(whole)), cwd: folder.path, printed });
    return [];
  } catch (error) {
    if (!(error instanceof SidecarError) || error.code !== 'CONFIG_INVALID') throw error;
    return (error.extras.problems ?? []).map(({ path, message }) => `${path}: ${message}`);
  }
}

/** Another file in place of one that only the reader has; what is no option for a file stays as it is. */
function fileFor(option: string, path: string, folder: Folder, authority: Authority): string {
  const name = path.replaceAll('/', '_');
  if (option === 'ca') return authority.caFile;
  if (option === 'cert' || option === 'key') {
    const { certFile, keyFile } = authority.issue('sidecar', 'IP:127.0.0.1');
    return option === 'cert' ? certFile : keyFile;
  }
  if (option !== 'file') return option === 'journal' ? join(folder.path, name) : path;
  if (path.includes('fleet-key')) return folder.write(name, 'fleet'.padEnd(43, 'A'));
  return path.endsWith('.pem')
    ? authority.issue('sidecar', 'IP:127.0.0.1').keyFile
    : folder.write(name, `a-secret-of-${name}-0123456789abcdef`);
}

function merged(base: Doc, more: Doc): Doc {
  const isDoc = (value: unknown): value is Doc => typeof value === 'object' && value !== null && !Array.isArray(value);
  const entries = Object.entries(more).map(([name, value]) => {
    const before = base[name];
    return [name, isDoc(before) && isDoc(value) ? merged(before, value) : value] as const;
  });
  return { ...base, ...Object.fromEntries(entries) };
}
