/** In the place of undici's coarse timers: exact ones, which belong to the process that started them. */
import { clearTimer, startTimer } from '../timers.ts';

type Run = (argument: unknown) => void;

const start = (run: Run, ms: number, argument?: unknown) => startTimer(() => run(argument), ms, false);

export { clearTimer as clearFastTimeout, clearTimer as clearTimeout, start as setFastTimeout, start as setTimeout };
export const now = (): number => performance.now();
