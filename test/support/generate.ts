/** `npm run generate`: rewrites the generated parts of the pages in docs/. */
import { writeFileSync } from 'node:fs';
import { renderPages } from './generate-pages.ts';

for (const { path, should } of renderPages()) writeFileSync(new URL(`../../${path}`, import.meta.url), should);
