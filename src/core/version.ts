/** The version, from package.json. Bundles have it written in: see deploy/package/bundle.ts. */
import { readFileSync } from 'node:fs';

export const VERSION: string = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).version;
