/**
 * Room for buffers that have been forwarded. V8 sees the few bytes of each that are its own and waits for many of them,
 * while 64 KiB behind each wait with it: tens of MiB for one large transfer. Collecting the young ones now and then costs
 * less than a millisecond and pays, because the same memory is used again while the processor still has it at hand.
 */

/** Of content, both ways. */
const EVERY_BYTES = 8 * 1024 * 1024;

type Collect = (how: { type: 'minor' }) => unknown;

/**
 * To be told of all content that passes in more than one piece; one for a process.
 * @param collect Node's own with `--expose-gc`, as in the executable; without it nothing happens
 */
export function createMinorGc(collect: Collect | undefined = globalThis.gc): (bytes: number) => void {
  let forwarded = 0;
  return (bytes) => {
    forwarded += bytes;
    if (forwarded < EVERY_BYTES) return;
    forwarded = 0;
    collect?.({ type: 'minor' });
  };
}
