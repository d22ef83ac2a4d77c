/** The store of fleets, as a process of the bench. */
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../support/free-port.ts';
import { newFleetKey } from '../support/redis-member.ts';
import { askRedis, missingRedis, redisArgs } from '../support/redis-server.ts';
import { countCommands, type StoreCounts } from '../support/redis-stats.ts';
import { CORE, startProgram } from './children.ts';
import { untilListening } from './subjects/ports.ts';

export interface Store {
  readonly port: number;
  /** File with a key of a fleet. */
  readonly keyFile: string;
  ask(...command: readonly string[]): Promise<string>;
  /** @param withScripts false: the clients run no scripts */
  counts(withScripts?: boolean): Promise<StoreCounts>;
  stop(): Promise<void>;
}

/** @returns undefined where its programs are not installed */
export async function startStore(folder: string): Promise<Store | undefined> {
  if (missingRedis().length > 0) return undefined;
  mkdirSync(folder, { recursive: true });
  const own = mkdtempSync(join(folder, 'store-'));
  const keyFile = join(own, 'key');
  writeFileSync(keyFile, newFleetKey(), { mode: 0o600 });
  const port = await freePort();
  const child = startProgram(['redis-server', ...redisArgs(port)], {
    ...{ core: CORE.measuring, cwd: own, outputFile: join(own, 'log') },
  });
  await untilListening(child, port);
  const ask = (...command: readonly string[]) => askRedis(port, command);
  return {
    ...{ port, keyFile, ask },
    counts: async (withScripts) => countCommands(await ask('INFO', 'commandstats'), withScripts),
    stop: child.stop,
  };
}
