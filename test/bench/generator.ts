/** The load generator, seen from the bench. */
import { join } from 'node:path';
import { type Child, CORE, messageFrom, startNode } from './children.ts';
import { ALL_ASKED, type LoadJob, type LoadResult } from './load/job.ts';

export interface Generator {
  /** @param onAllAsked of a job that asks everything at once: everything has been asked */
  run(job: LoadJob, onAllAsked?: () => void): Promise<LoadResult>;
  stop(): Promise<void>;
}

const PROGRAM = join(import.meta.dirname, 'load/generator.ts');

export async function startGenerator(): Promise<Generator> {
  const child = startNode(PROGRAM, [], { core: CORE.measuring });
  await messageFrom<'ready'>(child);
  return {
    async run(job, onAllAsked) {
      const first = messageFrom<typeof ALL_ASKED | LoadResult>(child);
      child.process.send(job);
      const message = await first;
      if (message !== ALL_ASKED) return message;
      return await afterAllAsked(child, onAllAsked);
    },
    stop: child.stop,
  };
}

async function afterAllAsked(child: Child, onAllAsked: (() => void) | undefined): Promise<LoadResult> {
  const result = messageFrom<LoadResult>(child);
  onAllAsked?.();
  return await result;
}
