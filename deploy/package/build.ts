/**
 * Makes what the npm package brings: `npm run build [-- FOLDER]`, `dist/` by default. The folder is emptied first. Types are
 * not checked here; `npm run typecheck` does that.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { bundle } from './bundle.ts';
import { thirdPartyText } from './third-party.ts';

const ROOT = join(import.meta.dirname, '../..');
const folder = resolve(process.argv[2] ?? join(ROOT, 'dist'));

const { chunks, packages } = await bundle('many');
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
for (const { fileName, code } of chunks) writeFileSync(join(folder, fileName), code);
writeFileSync(join(folder, 'THIRD-PARTY.txt'), thirdPartyText(packages));
