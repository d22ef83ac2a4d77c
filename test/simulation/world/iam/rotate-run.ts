/** `aritma-sidecar rotate` by hand, beside the running sidecar. */
import { loadConfig } from '../../../../src/config/load.ts';
import { sleep } from '../../../../src/core/clock.ts';
import { rotateCredential } from '../../../../src/iam/rotation/credential-rotation.ts';
import type { SimulatedProcess } from '../../platform/process.ts';
import { CONFIG_FILE } from '../sidecar-host.ts';
import type { World } from '../world.ts';

export class RotateRuns {
  readonly #world: World;
  readonly #running = new Set<SimulatedProcess>();
  #count = 0;

  constructor(world: World) {
    this.#world = world;
  }

  /** @param killAfter after so many turns of its own; Infinity = not at all */
  start(killAfter = Number.POSITIVE_INFINITY, onEnd: (hasRotated: boolean) => void = () => undefined): void {
    this.#count += 1;
    const process = this.#world.process(`rotate ${this.#count}`, this.#world.sidecar.machine);
    this.#running.add(process);
    process.killAfter(killAfter, () => this.#end(process, 'is killed'));
    process.run(
      () =>
        void rotate((step) => this.#world.trace(process.name, step)).then(
          () => {
            this.#end(process, 'has rotated');
            onEnd(true);
          },
          (error: unknown) => {
            this.#failed(process, error);
            onEnd(false);
          },
        ),
    );
  }

  killAll(): void {
    for (const process of this.#running) this.#end(process, 'is killed');
  }

  #failed(process: SimulatedProcess, error: unknown): void {
    const { code } = error as { code?: unknown };
    if (typeof code !== 'string' || !/^[A-Z_]+$/.test(code)) this.#world.observe({ kind: 'crash', error });
    this.#end(process, `fails: ${String(code)} ${JSON.stringify((error as { extras?: { fields?: object } }).extras?.fields)}`);
  }

  #end(process: SimulatedProcess, how: string): void {
    if (!this.#running.delete(process)) return;
    this.#world.trace(process.name, how);
    process.kill();
  }
}

/** As src/cli/rotate-command.ts, which writes to the terminal. */
async function rotate(onStep: (step: string) => void): Promise<void> {
  const clock = { now: Date.now, sleep };
  let loaded = loadConfig({ file: CONFIG_FILE, env: {}, cwd: '/sim/etc' });
  for (let onlyGoOn = false; ; onlyGoOn = true) {
    const onProgress = ({ step, fields }: { step: string; fields: object }) => onStep(`${step} ${JSON.stringify(fields)}`);
    const outcome = await rotateCredential({ loaded, credential: 'default', clock, onProgress, onlyGoOn });
    if (outcome.kind === 'rotated') return;
    onStep('waits');
    await sleep(outcome.until - Date.now());
    loaded = loaded.reload();
  }
}
