/** `npm run generate`: renews the generated sections of the README. */
import { readFileSync, writeFileSync } from 'node:fs';
import { renderReadme } from './readme.ts';

const file = new URL('../../README.md', import.meta.url);
writeFileSync(file, renderReadme(readFileSync(file, 'utf8')));
