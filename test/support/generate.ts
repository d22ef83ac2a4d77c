/** `npm run generate`: renews the generated sections of the README, and docs/cli.md. */
import { readFileSync, writeFileSync } from 'node:fs';
import { renderCliPage } from './generate-cli.ts';
import { renderReadme } from './readme.ts';

const readme = new URL('../../README.md', import.meta.url);
writeFileSync(readme, renderReadme(readFileSync(readme, 'utf8')));
writeFileSync(new URL('../../docs/cli.md', import.meta.url), renderCliPage());
