/** The load generator, as the bench uses it. */
import { join } from 'node:path';
import { type Child, CORE, messageFrom, startNode } from './children.ts';
import { ALL_ASKED, type LoadAnswer, type LoadJob, type LoadResult } from './load/job.ts';

export interface Generator {
  /**
   * Runs jobs one after the other, even if all are given at once.
   * @param onAllAsked called when a job with shape `once` has sent all its requests
   */
  run(job: LoadJob, onAllAsked?: () => void): Promise<LoadResult>;
  stop(): Promise<void>;
}

const PROGRAM = join(import.meta.dirname, 'load/generator.ts');

export async function startGenerator(): Promise<Generator> {
  const child = startNode(PROGRAM, [], { core: CORE.measuring });
  await messageFrom<'ready'>(child);
  let last: Promise<unknown> = Promise.resolve();
  return {
    run(job, onAllAsked) {
      const turn = last.then(() => run(child, job, onAllAsked));
      last = turn.catch(() => undefined);
      return turn;
    },
    stop: child.stop,
  };
}

/** Uses one listener for all messages: the last two may arrive together. */
function run(child: Child, job: LoadJob, onAllAsked: (() => void) | undefined): Promise<LoadResult> {
  const { promise, resolve, reject } = Promise.withResolvers<LoadResult>();
  const onMessage = (message: LoadAnswer) => {
    if (message === ALL_ASKED) onAllAsked?.();
    else if ('failure' in message) reject(new Error(message.failure));
    else resolve(message);
  };
  const onExit = () => reject(new Error(`the load generator ended: ${child.ended()}`));
  child.process.on('message', onMessage).once('exit', onExit);
  child.process.send(job);
  return promise.finally(() => child.process.off('message', onMessage).off('exit', onExit));
}
