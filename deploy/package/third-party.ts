/**
 * The licences of everything that is given away, as the licences themselves demand: that of every package in a bundle and,
 * for an executable, Node's, which names all that Node is made of.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** @param packages their folders @throws Error for a package that does not say how it is licensed */
export function thirdPartyText(packages: readonly string[], nodeLicence?: string): string {
  const parts = packages.map((folder) => ({ title: titleOf(folder), licence: licenceOf(folder) }));
  if (nodeLicence !== undefined) parts.unshift({ title: 'Node.js', licence: nodeLicence });
  const intro = 'aritma-sidecar is licensed under Apache-2.0 (LICENSE). What goes with it here also contains:';
  const list = parts.map(({ title }) => `- ${title}`).join('\n');
  return `${intro}\n\n${list}\n${parts.map(({ title, licence }) => section(title, licence)).join('')}`;
}

function section(title: string, text: string): string {
  const rule = '='.repeat(100);
  return `\n${rule}\n${title}\n${rule}\n\n${text.replaceAll('\r\n', '\n').trim()}\n`;
}

function titleOf(folder: string): string {
  const { name, version, license } = manifestOf(folder);
  if (typeof license !== 'string') throw new Error(`${name}@${version} does not say how it is licensed`);
  return `${name} ${version} (${license})`;
}

/** Its own text; where the package has none, what it says about its authors. */
function licenceOf(folder: string): string {
  const names = readdirSync(folder).filter((name) => /^(licen[cs]e|copying|notice)([.-]|$)/i.test(name));
  const texts = names.map((name) => readFileSync(join(folder, name), 'utf8'));
  if (texts.length > 0) return texts.join('\n\n');
  const { license, author, repository } = manifestOf(folder);
  return `The package holds no text of its licence. It states: ${JSON.stringify({ license, author, repository })}`;
}

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly license?: unknown;
  readonly author?: unknown;
  readonly repository?: unknown;
}

function manifestOf(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest;
}
