/** Takes the given lock, reports that, and keeps it until it is killed. */
import { acquireLock } from '../../src/iam/rotation/lock-file.ts';

await acquireLock(process.argv[2] ?? '');
process.send?.('has it');
setInterval(() => undefined, 1000);
