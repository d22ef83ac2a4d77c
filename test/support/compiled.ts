/** Environment of processes that tests start: half of what a start costs is compiling the same files once more. */
import { join } from 'node:path';

export const COMPILED: Readonly<Record<string, string>> = {
  NODE_COMPILE_CACHE: join(import.meta.dirname, '../../node_modules/.cache/aritma-sidecar-tests'),
};
