/** The process in which cli-inside.ts runs the program many times: main.ts is loaded anew each time, what it imports is not. */
import type { InsideCall } from './cli-inside.ts';

const MAIN = new URL('../../src/main.ts', import.meta.url).href;
/** The program listens to these each time that it is loaded. */
const OF_THE_PROGRAM = ['uncaughtException', 'unhandledRejection', 'SIGUSR1', 'SIGUSR2', 'SIGTERM', 'SIGINT', 'SIGHUP'];

const end = process.exit.bind(process);
let count = 0;

process.on('disconnect', () => end());
process.on('message', async ({ args, env, cwd, mark }: InsideCall) => {
  count += 1;
  for (const event of OF_THE_PROGRAM) process.removeAllListeners(event);
  for (const stream of [process.stdout, process.stderr]) stream.removeAllListeners('error');
  for (const name of Object.keys(process.env)) delete process.env[name];
  Object.assign(process.env, env);
  process.chdir(cwd);
  process.argv = [process.execPath, MAIN, ...args];
  let isOver = false;
  process.exit = ((code?: number) => {
    // The program goes on behind its end, where it would be no more: what it prints then is behind the mark.
    if (isOver) return;
    isOver = true;
    write(mark);
    process.send?.(code ?? 0);
  }) as typeof process.exit;
  write(mark);
  await import(`${MAIN}?${count}`);
});

/** Each stream takes it at once unless it still holds something. */
function write(text: string): void {
  for (const stream of [process.stdout, process.stderr]) stream.write(text);
}
