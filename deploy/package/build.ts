/**
 * Makes the npm package, whole: `npm run build [-- [--whole] FOLDER]`, `dist/` by default, which `npm pack ./dist` packs and
 * `npm publish ./dist` publishes. The folder is emptied first. Types are not checked here; `npm run typecheck` does that.
 */
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { bundle, TYPE_OF_MANY } from './bundle.ts';
import { sbomText } from './sbom.ts';
import { thirdPartyText } from './third-party.ts';

const ROOT = join(import.meta.dirname, '../..');
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { whole: { type: 'boolean', default: false } },
});
const folder = resolve(positionals[0] ?? join(ROOT, 'dist'));

const { chunks, packages } = await bundle('many', values);
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
for (const { fileName, code } of chunks) writeFileSync(join(folder, fileName), code);
for (const name of ['LICENSE', 'README.md', 'CHANGELOG.md']) copyFileSync(join(ROOT, name), join(folder, name));
writeFileSync(join(folder, 'package.json'), manifestText());
writeFileSync(join(folder, 'THIRD-PARTY.txt'), thirdPartyText(packages));
writeFileSync(join(folder, 'sbom.cdx.json'), sbomText(packages));

/** Of a package that brings everything it needs and runs nothing when it is installed. */
function manifestText(): string {
  const { name, version, description, license, engines } = JSON.parse(
    readFileSync(join(ROOT, 'package.json'), 'utf8'),
  ) as Record<string, unknown>;
  // Without the compile cache of a build that has run.
  const files = ['*.js', '*.json', '*.md', '*.txt'];
  const type = TYPE_OF_MANY;
  const manifest = { name, version, description, license, type, bin: { 'aritma-sidecar': 'main.js' }, files, engines };
  return `${JSON.stringify(manifest, null, 2)}\n`;
}
