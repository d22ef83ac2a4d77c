/**
 * The fleet's store: a server that speaks RESP3 and runs the product's scripts in their plain JavaScript model, one command after
 * the other, as the real one does. With everything that can be wrong with such a server.
 */
import { createHash } from 'node:crypto';
import { SCRIPTS, type ScriptName } from '../../../src/fleet/scripts.ts';
import { BudgetModel } from '../../support/fleet-budget-model.ts';
import { RotationScripts } from '../../support/fleet-rotation-scripts.ts';
import type { Connected, End, Listening, Segment } from '../platform/network.ts';
import { Machine, type SimulatedProcess } from '../platform/process.ts';
import { CommandReader, errorReply, mapReply, okReply, pushOf, replyOf } from './resp.ts';
import type { World } from './world.ts';

export const STORE = 'store.sim:6379';
export const STORE_PASSWORD = 'password-of-the-simulated-store';

const NAMES = new Map(
  Object.entries(SCRIPTS).map(([name, lua]) => [createHash('sha1').update(lua).digest('hex'), name as ScriptName]),
);

interface Asked {
  readonly by: Connection;
  readonly words: readonly string[];
}

export class Store {
  readonly machine = new Machine('store host');
  readonly scripts: RotationScripts;
  readonly #budgets: BudgetModel;
  /** Commands that were carried out, by their names. */
  readonly counts = new Map<string, number>();
  /** When it last lost data, and from when on they were lost; true ms. */
  lost = { at: Number.NEGATIVE_INFINITY, since: Number.POSITIVE_INFINITY };
  readonly #world: World;
  readonly #process: SimulatedProcess;
  readonly #listening: Listening;
  readonly #connections = new Set<Connection>();
  readonly #queue: Asked[] = [];
  readonly #cached = new Set<string>();
  #isBusy = false;
  #isFrozen = false;
  #isMute = false;
  #delayMs = 0;
  #error: string | undefined;
  #journalKey = '';
  #repairs = 0;
  /** Undefined while it does not listen. */
  #stopListening: (() => void) | undefined;

  constructor(world: World) {
    this.#world = world;
    this.#process = world.process('store', this.machine);
    const now = () => this.machine.wallMs(world.platform.time.nowMs);
    this.scripts = new RotationScripts(now, (message) => this.#publish(message));
    this.#budgets = new BudgetModel(now, (message) => this.#publish(message));
    const accept = (wire: Connected) => this.#accept(wire);
    this.#listening = { owner: this.#process, accept };
    this.#listen();
  }

  /** Anything is wrong with it, or with the ways to it. */
  get isFaulty(): boolean {
    return this.#isFrozen || this.#isMute || this.#delayMs > 0 || this.#error !== undefined || !this.#stopListening;
  }

  /** Of a rotation. */
  get hasJournal(): boolean {
    return this.scripts.get(this.#journalKey) !== undefined;
  }

  /** It has ended. What it knew is gone, unless it has written it down. */
  down(ms: number, keepsData: boolean): void {
    this.#stopListening?.();
    this.#stopListening = undefined;
    this.#dropAll();
    if (!keepsData) this.wipe();
    this.#endAfter(ms);
  }

  wipe(): void {
    this.scripts.flush();
    this.#budgets.flush();
    this.#lose(Number.NEGATIVE_INFINITY);
  }

  /** A replica takes its place, to which the last `lagMs` have not come. */
  failOver(lagMs: number): void {
    const fallBack = this.scripts.copy();
    const { time } = this.#world.platform;
    const since = time.nowMs;
    time.after(lagMs, this.#process, () => {
      this.#world.trace('store', `a replica takes its place, ${lagMs} ms behind`);
      fallBack();
      // As if it was further behind with them: members state again what they have begun.
      this.#budgets.values.clear();
      this.#lose(since);
      this.#dropAll();
    });
  }

  /** Takes commands, and carries them out when it is over. */
  freeze(ms: number): void {
    this.#isFrozen = true;
    this.#endAfter(ms);
  }

  slow(ms: number, delayMs: number): void {
    this.#delayMs = delayMs;
    this.#endAfter(ms);
  }

  failing(ms: number, error: string): void {
    this.#error = error;
    this.#endAfter(ms);
  }

  loseNews(ms: number): void {
    this.#isMute = true;
    this.#endAfter(ms);
  }

  repair(): void {
    this.#repairs += 1;
    this.#isFrozen = false;
    this.#isMute = false;
    this.#delayMs = 0;
    this.#error = undefined;
    if (!this.#stopListening) this.#listen();
    this.#pump();
  }

  #listen(): void {
    this.#stopListening = this.#world.platform.network.listen(STORE, this.#listening);
  }

  #endAfter(ms: number): void {
    const repairs = this.#repairs;
    const { time } = this.#world.platform;
    time.after(ms, time.kernel, () => {
      if (repairs !== this.#repairs) return;
      this.#world.trace('store', 'works again');
      this.repair();
    });
  }

  #lose(since: number): void {
    this.#cached.clear();
    this.lost = { at: this.#world.platform.time.nowMs, since };
  }

  #dropAll(): void {
    this.#queue.length = 0;
    for (const connection of this.#connections) connection.reset();
    this.#connections.clear();
  }

  #accept(wire: Connected): Connection {
    const connection = new Connection(this.#process, wire, {
      ask: (words) => {
        this.#queue.push({ by: connection, words });
        this.#pump();
      },
      left: () => this.#connections.delete(connection),
    });
    this.#connections.add(connection);
    return connection;
  }

  #pump(): void {
    while (this.#queue.length > 0 && !this.#isFrozen && !this.#isBusy) {
      if (this.#delayMs > 0) this.#waitFirst();
      else this.#carryOut();
    }
  }

  #waitFirst(): void {
    this.#isBusy = true;
    this.#world.platform.time.after(this.#delayMs, this.#process, () => {
      this.#isBusy = false;
      if (!this.#isFrozen) this.#carryOut();
      this.#pump();
    });
  }

  #carryOut(): void {
    const next = this.#queue.shift();
    // Also for one that has gone: its command was on the way already.
    if (next) next.by.send(this.#replyTo(next));
  }

  #replyTo({ by, words }: Asked): string {
    const [command = '', first = '', ...rest] = words;
    switch (command.toLowerCase()) {
      case 'hello': {
        const at = rest.findIndex((word) => word.toLowerCase() === 'auth');
        by.isKnown = at >= 0 && rest[at + 2] === STORE_PASSWORD;
        return by.isKnown
          ? mapReply({ server: 'redis', version: '7.2.0' })
          : errorReply('WRONGPASS invalid username-password pair');
      }
      case 'time': {
        const ms = this.machine.wallMs(this.#world.platform.time.nowMs);
        return replyOf([String(Math.floor(ms / 1000)), String((ms % 1000) * 1000)]);
      }
      case 'ping':
        return okReply();
      case 'subscribe':
        by.channel = first;
        return by.isKnown ? pushOf('subscribe', first, 1) : errorReply('NOAUTH Authentication required.');
      case 'evalsha':
        return this.#cached.has(first) ? this.#run(by, first, rest) : errorReply('NOSCRIPT No matching script.');
      case 'eval': {
        const sha = createHash('sha1').update(first).digest('hex');
        this.#cached.add(sha);
        return this.#run(by, sha, rest);
      }
      default:
        return errorReply(`ERR unknown command '${command}'`);
    }
  }

  #run(by: Connection, sha: string, [count = '0', ...words]: readonly string[]): string {
    const name = NAMES.get(sha);
    if (!by.isKnown) return errorReply('NOAUTH Authentication required.');
    if (this.#error) return errorReply(this.#error);
    if (!name) return errorReply('ERR not a script of the fleet');
    const [keys, args] = [words.slice(0, Number(count)), words.slice(Number(count))];
    const reply = name === 'budget' ? this.#budget(keys, args) : this.scripts.run(name, keys, args);
    if (name === 'note') this.#journalKey = keys[0] ?? '';
    this.#world.observe({ kind: 'stored', script: name, by: by.peer, words, reply });
    return replyOf(reply);
  }

  /** The script of budgets reads what that of heartbeats has written. */
  #budget(keys: readonly string[], args: readonly string[]): unknown {
    const [, , times = '', since = ''] = keys;
    const known = this.scripts.get(times);
    this.#budgets.members = known instanceof Map ? known.size : 1;
    const sinceMs = this.scripts.get(since);
    this.#budgets.sinceMs = sinceMs === undefined ? undefined : Number(sinceMs);
    return this.#budgets.run(keys, args);
  }

  #publish(message: string): void {
    if (this.#isMute) return;
    for (const connection of this.#connections)
      if (connection.channel !== undefined) connection.send(pushOf('message', connection.channel, message));
  }
}

interface Handlers {
  readonly ask: (words: readonly string[]) => void;
  readonly left: () => void;
}

class Connection implements End {
  readonly owner: SimulatedProcess;
  isKnown = false;
  channel: string | undefined;
  readonly #wire: Connected;
  readonly #handlers: Handlers;
  readonly #reader = new CommandReader();
  #isClosed = false;

  constructor(owner: SimulatedProcess, wire: Connected, handlers: Handlers) {
    this.owner = owner;
    this.#wire = wire;
    this.#handlers = handlers;
  }

  get peer(): SimulatedProcess | undefined {
    return this.#wire.peer;
  }

  receive(segment: Segment): void {
    if (segment instanceof Buffer) {
      for (const words of this.#reader.add(segment)) this.#handlers.ask(words);
      return;
    }
    if (segment === 'end') this.#wire.send('end');
    this.#close();
  }

  send(text: string): void {
    if (!this.#isClosed) this.#wire.send(Buffer.from(text, 'utf8'));
  }

  reset(): void {
    this.#wire.send('reset');
    this.#close();
  }

  #close(): void {
    this.#isClosed = true;
    this.#wire.close();
    this.#handlers.left();
  }
}
