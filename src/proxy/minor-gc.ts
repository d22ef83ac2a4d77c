/**
 * Room for buffers that have been forwarded. V8 sees the few bytes of each that are its own and waits for many of them,
 * while 64 KiB behind each wait with it: tens of MiB for one large transfer. Collecting the young ones now and then costs
 * less than a millisecond and pays, because the same memory is used again while the processor still has it at hand.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Of content, both ways. */
const EVERY_BYTES = 8 * 1024 * 1024;

type Collect = (how: { type: 'minor' }) => unknown;

/**
 * To be told of all content that passes in more than one piece; one for a process.
 * @param collect V8's own by default, however Node was started; asked for when there is something to collect
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

/** A context that is made after the flag has the function; the one there is does not get it any more. */
function exposeGc(): Collect {
  setFlagsFromString('--expose-gc');
  return globalThis.gc ?? (runInNewContext('gc') as Collect);
}
