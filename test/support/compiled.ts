/** Environment of processes that tests start: half of a start is the compilation of the same files. */
import { join } from 'node:path';

export const COMPILED: Readonly<Record<string, string>> = {
  NODE_COMPILE_CACHE: join(import.meta.dirname, '../../node_modules/.cache/aritma-sidecar-tests'),
};
