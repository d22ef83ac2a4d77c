/** Commands that somebody runs by hand beside the running sidecar, and that can be killed at any await. */
import { loadConfig } from '../../../../src/config/load.ts';
import { sleep } from '../../../../src/core/clock.ts';
import { createIamApi } from '../../../../src/iam/api.ts';
import { connectIam } from '../../../../src/iam/connection.ts';
import { loadDesired } from '../../../../src/iam/provision/desired-state.ts';
import { runProvision } from '../../../../src/iam/provision/provision.ts';
import type { Waiting } from '../../../../src/iam/rotation/attempt.ts';
import { type RotateOptions, rotateCredential } from '../../../../src/iam/rotation/credential-rotation.ts';
import type { Progress } from '../../../../src/iam/rotation/retry.ts';
import type { Outcome } from '../../../../src/iam/rotation/rotate.ts';
import { openFleetSecrets } from '../../../../src/sidecar/fleet/fleet-secrets.ts';
import type { SimulatedProcess } from '../../platform/process.ts';
import type { SidecarHost } from '../sidecar-host.ts';
import type { World } from '../world.ts';

const FOLDER = '/sim/etc';
export const DESIRED_FILE = `${FOLDER}/client.yaml`;

export interface RunOptions {
  /** Turns of its own after which it is killed. */
  readonly killAfter?: number;
  /** Where; absent: on the first one. */
  readonly host?: SidecarHost;
  /** File operations of its own, in place of the last of which it is killed. */
  readonly killAtFile?: number;
  readonly onEnd?: (isDone: boolean) => void;
}

interface Started {
  readonly host: SidecarHost;
  readonly by: SimulatedProcess;
  readonly say: (step: string) => void;
}

export class Runs {
  readonly #world: World;
  readonly #running = new Set<SimulatedProcess>();
  #count = 0;

  constructor(world: World) {
    this.#world = world;
  }

  rotate(options: RunOptions = {}): void {
    this.#start('rotate', (started) => rotate(started, this.#world), options);
  }

  provision(options: RunOptions = {}): void {
    this.#start('provision', (started) => provision(started, this.#world), options);
  }

  /** @param host on which; absent: on all */
  killAll(host?: SidecarHost): void {
    for (const process of this.#running) if (!host || process.machine === host.machine) this.#end(process, 'is killed');
  }

  /** No kill is planned any more. */
  spareAll(): void {
    for (const process of this.#running) process.spare();
  }

  #start(name: string, program: (started: Started) => Promise<void>, options: RunOptions): void {
    const { killAfter, killAtFile, onEnd = () => undefined, host = this.#world.sidecar } = options;
    if (!host.isHere) return;
    this.#count += 1;
    const process = this.#world.process(`${name} ${this.#count}`, host.machine);
    this.#running.add(process);
    if (killAfter) process.killAfter(killAfter, () => this.#end(process, 'is killed'));
    if (killAtFile) process.killAtFile(killAtFile, () => this.#end(process, 'is killed at a file'));
    const ended = (isDone: boolean, how: string) => {
      this.#end(process, how);
      onEnd(isDone);
    };
    process.run(() => {
      const running = program({ host, by: process, say: (step) => this.#world.trace(process.name, step) });
      void running.then(() => ended(true, 'is done')).catch((error: unknown) => ended(false, this.#textOf(error)));
    });
  }

  #textOf(error: unknown): string {
    const { code, extras } = error as { code?: unknown; extras?: { fields?: object; problems?: object[] } };
    if (typeof code !== 'string' || !/^[A-Z_]+$/.test(code)) this.#world.observe({ kind: 'crash', error });
    return `fails: ${String(code)} ${JSON.stringify(extras?.fields ?? extras?.problems ?? {})}`;
  }

  #end(process: SimulatedProcess, how: string): void {
    if (!this.#running.delete(process)) return;
    this.#world.trace(process.name, how);
    process.kill();
  }
}

const clock = { now: () => Date.now(), sleep };
const load = ({ configFile, folder }: SidecarHost) => loadConfig({ file: configFile, env: {}, cwd: folder });

/** As src/cli/rotate-command.ts, which writes to the terminal. */
async function rotate({ host, by, say }: Started, world: World): Promise<void> {
  let loaded = load(host);
  const tell = (step: string, told = {}) => world.observe({ kind: 'rotateTold', by, host, step, ...told });
  for (let after: Waiting | undefined; ; ) {
    const onProgress = ({ step, fields }: Progress) => {
      say(`${step} ${JSON.stringify(fields)}`);
      tell(step);
    };
    const outcome = await rotateOnce({ loaded, credential: 'default', clock, onProgress, after });
    if (outcome.kind === 'rotated') return tell('rotated', { expiresAt: outcome.expiresAt });
    after = outcome;
    say('waits');
    tell('waits');
    await sleep(outcome.until - Date.now());
    loaded = loaded.reload();
  }
}

/** A pause can last for days: no connection would. */
async function rotateOnce(options: RotateOptions): Promise<Outcome> {
  using fleet = options.loaded.config.fleet && (await openFleetSecrets(options.loaded));
  return await rotateCredential({ ...options, share: fleet?.share });
}

/** As src/cli/iam/provision.ts, but for its checks. */
async function provision({ host, say }: Started, { iam }: World): Promise<void> {
  const desired = loadDesired(DESIRED_FILE, { cwd: FOLDER, environment: 'dev' });
  await using open = connectIam(load(host));
  await runProvision(desired, {
    iam: createIamApi(open.connection),
    verify: async (client, secret) => (iam?.server.accepts(client, secret.reveal()) ? 'accepted' : 'refused'),
    report: { json: true, line: ({ data }) => say(JSON.stringify(data)) },
    ...{ clock, dryRun: false, check: async () => 0 },
  });
}
