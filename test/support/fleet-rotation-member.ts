/** One member of `RotationWorld`: a process that can die and sleep, with a disk that stays. */
import { createHash } from 'node:crypto';
import type { LoadedConfig } from '../../src/config/load.ts';
import type { Clock } from '../../src/core/clock.ts';
import { SidecarError } from '../../src/core/errors.ts';
import { Secret } from '../../src/core/secret.ts';
import { sayAlive } from '../../src/fleet/heartbeat.ts';
import type { FleetAccess } from '../../src/fleet/members.ts';
import { FleetMemory } from '../../src/fleet/memory.ts';
import type { ScriptName } from '../../src/fleet/scripts.ts';
import type { Sealer } from '../../src/fleet/seal.ts';
import type { ClientSecret, IamApi } from '../../src/iam/api.ts';
import { beginJournal, parseJournal } from '../../src/iam/rotation/journal.ts';
import { type Outcome, rotate } from '../../src/iam/rotation/rotate.ts';
import { dueAt } from '../../src/iam/rotation/schedule.ts';
import type { OpenStore, SecretStore } from '../../src/iam/rotation/store.ts';
import type { Verdict } from '../../src/iam/rotation/verification.ts';
import { SecretFollower } from '../../src/sidecar/fleet/secret-follower.ts';

/** What is outside of the members. */
export interface Surroundings {
  readonly clock: Clock;
  readonly scripts: { run(...command: Command): unknown };
  readonly iam: {
    list(): ClientSecret[];
    create(secret: Parameters<IamApi['createSecret']>[1]): string;
    delete(id: string): void;
    isLive(value: string): boolean;
  };
  verdict(member: string, value: string): Verdict;
  /** Called before each step that reaches beyond the process. */
  onStep(member: RotationMember, step: string): void;
}

type Command = readonly [ScriptName, readonly string[], readonly string[]];
type StartTimer = Clock['startTimer'];

/** What a process that dies leaves. */
interface Disk {
  secret: string;
  journal: string | undefined;
}

export const POLICY = { secretLifetime: 90 * 86_400_000, overlap: 20_000, verifyFor: 5000 };
export const FIRST = 'first-secret-value';
const PREFIX = 'p';
const CREDENTIAL = 'main';
const BEAT_MS = 10_000;
export const EVERY_MS = 300_000;

/** Seals nothing. */
const SEALER: Sealer = {
  keyId: '0badc0de',
  name: (parts) => createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16),
  olderNames: () => [],
  seal: (place, content) => Promise.resolve(JSON.stringify({ place, content })),
  open: (place, sealed) => {
    const { place: told, content } = JSON.parse(sealed);
    return Promise.resolve(JSON.stringify(told) === JSON.stringify(place) ? { content } : 'name');
  },
};

type Gate = <T>(step: string, work: () => T | Promise<T>) => Promise<T>;

export class RotationMember {
  readonly name: string;
  readonly disk: Disk = { secret: FIRST, journal: undefined };
  /** Of its file: a program that died has none any more. */
  #isLocked = false;
  isCutOff = false;
  hears = true;
  /** Of its wall clock. */
  aheadMs = 0;
  /** Whether it rotates by itself. */
  rotates = false;
  /** Code of its last failed rotation. */
  problem: string | undefined;
  /** Of that failure. */
  reason = '';
  isUp = false;
  follower: SecretFollower | undefined;
  #loaded: LoadedConfig | undefined;
  #life = 0;
  #starts = 0;
  #thawed: Promise<void> | undefined;
  #thaw: () => void = () => undefined;
  #isTicking = false;
  #rotateAt = 0;
  readonly #world: Surroundings;
  readonly #isMemory: boolean;

  constructor(world: Surroundings, name: string) {
    this.#world = world;
    this.name = name;
    this.#isMemory = name.endsWith('-memory');
  }

  get #wallMs(): number {
    return this.#world.clock.now().wallMs + this.aheadMs;
  }

  get isFrozen(): boolean {
    return this.#thawed !== undefined;
  }

  get secrets(): string[] {
    return (this.#loaded?.secrets.get(CREDENTIAL) ?? []).map(({ value }) => value.reveal());
  }

  hasWorking(): boolean {
    return [...this.secrets, this.disk.secret].some((value) => this.#world.iam.isLive(value));
  }

  start(): void {
    this.#life += 1;
    this.#starts += 1;
    this.isUp = true;
    const life = this.#life;
    const gate: Gate = async (step, work) => {
      this.#world.onStep(this, step);
      // Where a process died, nothing goes on.
      if (life !== this.#life) return new Promise<never>(() => undefined);
      await this.#thawed;
      if (life !== this.#life) return new Promise<never>(() => undefined);
      return work();
    };
    const id = createHash('sha256').update(`${this.name} ${this.#starts}`).digest('hex').slice(0, 16);
    const startTimer = (ms: number, run: () => void) => {
      let isOver = false;
      const cancel = this.#world.clock.startTimer(ms, () => {
        void gate('timer', () => {
          if (!isOver) run();
        });
      });
      return () => {
        isOver = true;
        cancel();
      };
    };
    const local = this.#localStore(gate);
    const follower = new SecretFollower({
      ...{ prefix: PREFIX, channel: 'news', sealer: SEALER, member: id, host: this.name },
      run: (script, keys, args) => this.#run(gate, [script, keys, args]),
      clock: { now: () => ({ ...this.#world.clock.now(), wallMs: this.#wallMs }), startTimer },
      log: { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined } as never,
      onSecret: () => void gate('reload', () => reload()),
      storeOf: () => local,
    });
    let beats = 0;
    const memory = new FleetMemory();
    const beat = async () => {
      const holdings = follower.holdings();
      const run: FleetAccess['run'] = (...command) => this.#run(gate, command);
      const said = { version: '1', host: this.name, secrets: [], ...(beats > 0 && { holdings }) };
      await sayAlive({ prefix: PREFIX, sealer: SEALER, member: id, run, memory }, said).catch(() => undefined);
      if (beats > 0) void follower.look();
      beats += 1;
    };
    const reload = async () => {
      this.#loaded = follower.adopt(this.#configured());
      await follower.use(this.#loaded);
      await beat();
    };
    const keepBeating = () => {
      void beat();
      startTimer(BEAT_MS, keepBeating);
    };
    const keepTicking = () => {
      // Its file may have been changed by its own rotation, too.
      if (this.disk.secret !== this.#configuredNow()) void reload();
      if (this.rotates) void this.#tick(gate, startTimer);
      startTimer(1000, keepTicking);
    };
    this.follower = follower;
    this.#isTicking = false;
    this.#rotateAt = 0;
    this.#isLocked = false;
    void reload().then(() => {
      keepBeating();
      keepTicking();
    });
  }

  /** By kill -9. */
  crash(): void {
    this.thaw();
    this.#life += 1;
    this.isUp = false;
    this.#loaded = undefined;
    this.#fileLoaded = undefined;
  }

  freeze(): void {
    const { promise, resolve } = Promise.withResolvers<void>();
    if (this.isFrozen) return;
    this.#thawed = promise;
    this.#thaw = resolve;
  }

  thaw(): void {
    this.#thaw();
    this.#thawed = undefined;
  }

  hear(name: string): void {
    const { follower } = this;
    if (this.isUp && this.hears && !this.isCutOff && !this.isFrozen) void follower?.look(name);
  }

  #fileLoaded: string | undefined;

  #write(part: Partial<Disk>): void {
    Object.assign(this.disk, part);
  }

  #unlock(): void {
    this.#isLocked = false;
  }

  #configuredNow(): string | undefined {
    return this.#fileLoaded;
  }

  #configured(): LoadedConfig {
    this.#fileLoaded = this.disk.secret;
    const settings = { auth: 'client_secret_post', clientId: 'c', tokenEndpoint: { text: 't' } };
    const secrets = new Map([[CREDENTIAL, [{ name: 'file', value: new Secret(this.disk.secret) }]]]);
    return {
      config: { credentials: { [CREDENTIAL]: settings } },
      secrets,
      secretsNow: () => [],
    } as unknown as LoadedConfig;
  }

  async #run(gate: Gate, command: Command): Promise<unknown> {
    const reply = await gate(command[0], () => (this.isCutOff ? undefined : this.#world.scripts.run(...command)));
    return gate('reply', () => {
      if (reply === undefined || this.isCutOff)
        throw new SidecarError('ROTATION_STORE_FAILED', { fields: { reason: 'cut off' } });
      return reply;
    });
  }

  #localStore(gate: Gate): SecretStore {
    const { disk } = this;
    const failed = () => new SidecarError('ROTATION_STORE_FAILED', { fields: { reason: 'read-only' } });
    const opened: OpenStore = {
      readSecret: () => gate('readSecret', () => new Secret(disk.secret)),
      writeSecret: (value) => gate('writeSecret', () => this.#write({ secret: value.reveal() })),
      readJournal: () => gate('readJournal', () => disk.journal),
      writeJournal: (text) => gate('writeJournal', () => this.#write({ journal: text })),
      close: () => gate('close', () => this.#unlock()),
    };
    return {
      ...{ name: 'file secret', isOwn: true },
      peek: () => gate('peek', () => disk.journal),
      open: () =>
        gate('open', () => {
          if (this.#isMemory) throw failed();
          if (this.#isLocked) throw new SidecarError('ROTATION_LOCKED', { fields: { holder: 'another' } });
          this.#isLocked = true;
          return opened;
        }),
    };
  }

  async #tick(gate: Gate, startTimer: StartTimer): Promise<void> {
    const { follower } = this;
    const now = this.#wallMs;
    if (this.#isTicking || !follower) return;
    if (now < this.#rotateAt && (this.problem !== undefined || !follower.isLeft(CREDENTIAL))) return;
    this.#isTicking = true;
    const life = this.#life;
    try {
      await this.#rotateIfDue(gate, startTimer);
      this.problem = undefined;
      this.#rotateAt = now + BEAT_MS;
    } catch (error) {
      if (!(error instanceof SidecarError)) throw error;
      this.reason = JSON.stringify(error.extras.fields);
      this.problem = error.code === 'ROTATION_LOCKED' ? this.problem : error.code;
      this.#rotateAt = now + BEAT_MS * 2;
    } finally {
      if (life === this.#life) this.#isTicking = false;
    }
  }

  async #rotateIfDue(gate: Gate, startTimer: StartTimer): Promise<Outcome | undefined> {
    const world = this.#world;
    const { follower } = this;
    if (!follower) return undefined;
    const clock = {
      now: () => this.#wallMs,
      sleep: (ms: number) => new Promise<void>((resolve) => void startTimer(ms, resolve)),
    };
    const store = await follower.share(CREDENTIAL, this.#localStore(gate)).open();
    try {
      const text = await store.readJournal();
      if (text === undefined) {
        await store.writeJournal(`${JSON.stringify(beginJournal('c', clock.now()))}\n`);
        return undefined;
      }
      const rhythm = { every: EVERY_MS, secretLifetime: POLICY.secretLifetime };
      const journal = parseJournal(text);
      if (!journal.attempt && dueAt(journal, rhythm) > clock.now()) return undefined;
      return await rotate({
        ...{ clientId: 'c', store, clock, policy: POLICY },
        trySecret: (value) => gate('try', () => world.verdict(this.name, value.reveal())),
        iam: {
          secrets: async function* () {
            yield* await gate('list', () => world.iam.list());
          },
          createSecret: (_, secret) => gate('create', () => world.iam.create(secret)),
          deleteSecret: (_, id) =>
            gate('delete', () => {
              world.iam.delete(id);
              return 'deleted' as const;
            }),
        },
      });
    } finally {
      await store.close();
    }
  }
}
