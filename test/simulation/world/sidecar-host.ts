/** The machine with the sidecar: its files, its clocks, and a supervisor that starts it again when it has ended. */
import { loadConfig } from '../../../src/config/load.ts';
import { withPrograms } from '../../../src/config/secret-programs.ts';
import { createLog } from '../../../src/core/log.ts';
import { type Sidecar, startSidecar } from '../../../src/sidecar/sidecar.ts';
import { stampOf } from '../platform/network.ts';
import { Machine, type SimulatedProcess } from '../platform/process.ts';
import type { World } from './world.ts';

const RESTART_MS = 5000;
/** After a start that failed: systemd leaves it to the operator, who tries again. */
const NEXT_TRY_MS = 60_000;

const FOLDER = '/sim/etc';
/** Of the first host. */
export const CONFIG_FILE = `${FOLDER}/config.yaml`;
export const SECRET_FILE = `${FOLDER}/secret`;

export class SidecarHost {
  /** `1` for the first one. */
  readonly name: string;
  readonly machine: Machine;
  /** Its files: of the first one in `/sim/etc`. */
  readonly folder: string;
  /** Undefined while none runs. */
  process: SimulatedProcess | undefined;
  /** It was told to end, and has not yet. */
  isStopping = false;
  /** When it was told so last, by the monotonic clock of its machine. */
  stoppingSince = 0;
  /** When it last ended because it was told to, and nobody killed it; true ms. */
  stoppedAt = Number.NEGATIVE_INFINITY;
  /** False while nobody works: then nothing starts it. */
  isWanted = true;
  /** False before it has joined a fleet, and after it has left it for ever. */
  isHere = true;
  readonly #world: World;
  #sidecar: Sidecar | undefined;
  /** Counts the decisions of whoever starts and stops it: an older one has no effect any more. */
  #wish = 0;
  #starts = 0;
  #onRead: () => void = () => undefined;
  /** What it has read last, by path. */
  read: ReadonlyMap<string, string> = new Map();

  constructor(world: World, name = '1') {
    this.#world = world;
    this.name = name;
    this.machine = new Machine(name === '1' ? 'erp host' : `erp host ${name}`);
    this.folder = name === '1' ? FOLDER : `${FOLDER}-${name}`;
  }

  get configFile(): string {
    return `${this.folder}/config.yaml`;
  }

  get secretFile(): string {
    return `${this.folder}/secret`;
  }

  start(): void {
    if (this.process || !this.isWanted || !this.isHere) return;
    this.#wish += 1;
    this.#starts += 1;
    const process = this.#world.process(
      `sidecar ${this.name === '1' ? '' : `${this.name}.`}${this.#starts}`,
      this.machine,
    );
    this.process = process;
    this.isStopping = false;
    this.#world.trace('supervisor', `starts ${process.name}`);
    this.#whenAwake(process, () => void this.#serve(process).catch((error: unknown) => this.#exited(process, error)));
  }

  /** As SIGKILL; it starts again later. Often long after it was planned: a machine slept meanwhile. */
  kill(): void {
    this.#world.observe({ kind: 'happens', name: 'process.kill', args: {} });
    this.#end(this.process);
    this.#startAfter(RESTART_MS);
  }

  /** As SIGTERM. @param onStopped gets whether all requests were finished */
  stop(onStopped: (drained: boolean) => void): void {
    const { process } = this;
    const sidecar = this.#sidecar;
    this.#wish += 1;
    if (!this.isStopping) this.stoppingSince = stampOf(this.#world.platform.time, this).monotonicMs;
    this.isStopping = true;
    if (!process || !sidecar) {
      this.#end(process);
      onStopped(true);
      return;
    }
    this.#whenAwake(process, () => {
      void sidecar.stop().then((drained) => {
        if (this.process === process) {
          this.stoppedAt = this.#world.platform.time.nowMs;
          this.#end(process);
        }
        onStopped(drained);
      });
    });
  }

  restart(): void {
    this.stop(() => this.#startAfter(1000));
  }

  /** As SIGHUP. */
  reload(): void {
    const sidecar = this.#sidecar;
    if (sidecar && this.process) this.#whenAwake(this.process, () => void sidecar.reload('SIGHUP'));
  }

  /** Calls `act` once, when its files have been read at the next start. */
  afterReading(act: () => void): void {
    this.#onRead = act;
  }

  /** What its files say now is what it has read. */
  noteRead(): void {
    const { disk } = this.#world.platform;
    const files = [this.configFile, this.secretFile].filter((path) => disk.has(path));
    this.read = new Map(files.map((path) => [path, disk.find(path).content.toString()]));
  }

  get #isAsleep(): boolean {
    return this.machine.asleepUntil > this.#world.platform.time.nowMs;
  }

  /** A suspended machine does nothing. */
  #whenAwake(process: SimulatedProcess, act: () => void): void {
    if (this.#isAsleep) this.#world.platform.time.after(0, process, act);
    else process.run(act);
  }

  async #serve(process: SimulatedProcess): Promise<void> {
    const loaded = await withPrograms((printed) =>
      loadConfig({ file: this.configFile, env: {}, cwd: this.folder, printed }),
    );
    this.noteRead();
    this.#onRead();
    this.#onRead = () => undefined;
    const write = (line: string) => {
      if (!process.isAlive) return;
      this.#world.trace(process.name, line.trimEnd());
      this.#world.observe({ kind: 'log', process, line: JSON.parse(line) as Record<string, unknown> });
      if (this.#isAsleep) this.#world.observe({ kind: 'crash', error: new Error('it runs while its machine sleeps') });
    };
    const log = createLog({ level: loaded.config.log.level, format: 'json', write });
    const sidecar = await startSidecar({ loaded, log });
    this.#sidecar = sidecar;
    // As `serve` does: the first failure is logged.
    sidecar.firstTokens().catch(() => undefined);
  }

  /** It could not start. */
  #exited(process: SimulatedProcess, error: unknown): void {
    if (!process.isAlive) return;
    const { code, extras } = error as { code?: string; extras?: { problems?: object[] } };
    this.#world.trace(process.name, `cannot start: ${code ?? String(error)} ${JSON.stringify(extras?.problems ?? [])}`);
    // A full disk: the audit log cannot be opened.
    if (!/^(CONFIG_|SIDECAR_AUDIT_FAILED)/.test(code ?? '')) this.#world.observe({ kind: 'crash', error });
    if (this.process !== process) return;
    this.#end(process);
    this.#startAfter(NEXT_TRY_MS);
  }

  #end(process: SimulatedProcess | undefined): void {
    if (!process) return;
    this.#world.trace('supervisor', `${process.name} has ended`);
    process.kill();
    this.process = undefined;
    this.#sidecar = undefined;
  }

  #startAfter(ms: number): void {
    this.#wish += 1;
    const wish = this.#wish;
    const { time } = this.#world.platform;
    time.after(ms, this.#world.process('supervisor', this.machine), () => {
      if (wish === this.#wish) this.start();
    });
  }
}
