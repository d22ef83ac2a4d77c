/** The version, from package.json. A bundle contains it as text: see deploy/package/bundle.ts. */
import { readFileSync } from 'node:fs';

export const VERSION: string = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).version;
