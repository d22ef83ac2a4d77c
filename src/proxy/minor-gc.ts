/**
 * Frees forwarded buffers early. V8 counts only the few heap bytes of each buffer, so it collects late, while the 64 KiB
 * outside the heap stay allocated: tens of MiB in one large transfer. A minor GC now and then takes less than a millisecond
 * and pays off, because the same memory is reused while it is still in the processor's cache.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Content in both directions. */
const EVERY_BYTES = 8 * 1024 * 1024;

type Collect = (how: { type: 'minor' }) => unknown;

/**
 * Returns a function that counts forwarded bytes and runs a minor GC after every 8 MiB. Create one per process.
 * @param collect default: V8's own, loaded at the first collection; works without `--expose-gc`
 */
export function createMinorGc(collect?: Collect): (bytes: number) => void {
  let forwarded = 0;
  let collector = collect;
  return (bytes) => {
    forwarded += bytes;
    if (forwarded < EVERY_BYTES) return;
    forwarded = 0;
    collector ??= exposeGc();
    collector({ type: 'minor' });
  };
}

/** Sets the flag at runtime: only contexts created after that have the `gc` function. */
function exposeGc(): Collect {
  setFlagsFromString('--expose-gc');
  return globalThis.gc ?? (runInNewContext('gc') as Collect);
}
