/** Proxy libraries for Node, each in the smallest program that uses it well, and the floor. */
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { join } from 'node:path';
import { CORE, messageFrom, startNode } from '../children.ts';
import { LOG_FILE, originOf, type Running, type Setup, STATIC_AUTHORIZATION, type Subject } from './subject.ts';

const SOURCES = join(import.meta.dirname, '../peers');
const PACKAGES = join(import.meta.dirname, '../../../node_modules');

/** The first is the reference for the others. */
export const NODE_PEERS: readonly Subject[] = [
  peer('floor', 'undici', 'node:http and undici, one header added by hand; no guards, metrics or log'),
  peer('http-proxy-3', 'http-proxy-3', 'adds a header that never changes'),
  peer('http-proxy-middleware', 'http-proxy-middleware', 'adds a header that never changes'),
  peer('fastify-http-proxy', '@fastify/http-proxy', 'adds a header that never changes'),
  peer('fast-proxy', 'fast-proxy', 'adds a header that never changes'),
  peer('httpxy', 'httpxy', 'adds a header that never changes'),
];

function peer(name: string, packageName: string, does: string): Subject {
  return { name, does, logs: false, version: () => versionOf(packageName), start: (setup) => startPeer(name, setup) };
}

async function startPeer(name: string, setup: Setup): Promise<Running> {
  symlinkSync(PACKAGES, join(setup.folder, 'node_modules'));
  compile('peer', setup.folder);
  const child = startNode(compile(name, setup.folder), [originOf(setup), STATIC_AUTHORIZATION], {
    core: CORE.subject,
    cwd: setup.folder,
    outputFile: join(setup.folder, LOG_FILE),
    env: setup.caFile === undefined ? {} : { NODE_EXTRA_CA_CERTS: setup.caFile },
  });
  const port = await messageFrom<number>(child);
  return { port, pids: [child.pid], expects: new RegExp(`^${STATIC_AUTHORIZATION}$`), stop: child.stop };
}

/** Compiles to JavaScript first, as for the sidecar: a compiler in the process would count as its memory. */
function compile(name: string, folder: string): string {
  const code = stripTypeScriptTypes(readFileSync(join(SOURCES, `${name}.ts`), 'utf8'));
  const file = join(folder, `${name}.mjs`);
  writeFileSync(file, code.replaceAll("'./peer.ts'", "'./peer.mjs'"));
  return file;
}

function versionOf(packageName: string): string | undefined {
  try {
    const manifest = readFileSync(join(PACKAGES, packageName, 'package.json'), 'utf8');
    return (JSON.parse(manifest) as { version: string }).version;
  } catch {
    return undefined;
  }
}
