/**
 * Writes what winget and Homebrew want to know of a release: `npm run build:manifests -- --repository URL --sums FILE --out
 * FOLDER`. The sums must be of the files as they are published, the one for macOS after it was signed.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { manifestOf, releaseTime } from '../linux-packages/release.ts';
import { homebrewFormula } from './homebrew.ts';
import { releasePage } from './release-page.ts';
import { wingetManifests } from './winget.ts';

const { values } = parseArgs({
  options: { repository: { type: 'string' }, sums: { type: 'string' }, out: { type: 'string' } },
});
const { repository, sums, out } = values;
if (repository === undefined || sums === undefined || out === undefined) {
  process.stderr.write('usage: npm run build:manifests -- --repository URL --sums FILE --out FOLDER\n');
  process.exit(2);
}
const page = releasePage({ ...manifestOf(), repository, sums: readFileSync(sums, 'utf8'), date: releaseTime() });
const files = new Map([...wingetManifests(page), ['aritma-sidecar.rb', homebrewFormula(page)]]);
mkdirSync(out, { recursive: true });
for (const [name, text] of files) {
  writeFileSync(join(out, name), text);
  process.stdout.write(`${name}\n`);
}
