/** The store's scripts for a rotation in plain JavaScript, beside those of `ScriptModel`. */
import type { ScriptName } from '../../src/fleet/scripts.ts';
import { ScriptModel } from './fleet-script-model.ts';

const DAY_MS = 86_400_000;

export class RotationScripts extends ScriptModel {
  readonly #clock: () => number;
  readonly #news: (message: string) => void;
  #fallBack: () => void = () => undefined;

  constructor(now: () => number, publish: (message: string) => void) {
    super(now, publish);
    this.#clock = now;
    this.#news = publish;
  }

  /** A replica that the last write has not reached takes the place of the store. */
  loseLast(): void {
    this.#fallBack();
  }

  override run(script: ScriptName, keys: readonly string[], args: readonly string[]): unknown {
    if (script !== 'recall' && script !== 'members') this.#fallBack = this.copy();
    const [first = '', second = '', third = '', fourth = '', fifth = ''] = keys;
    switch (script) {
      case 'recall': {
        const [revision = 0, value = ''] = this.#journal(first);
        return [revision, revision > Number(args[0]) ? value : '', Math.max(0, this.pttl(second))];
      }
      case 'lease':
        return this.#lease(first, args);
      case 'note':
        return this.#note([first, second], args);
      case 'release':
        if (this.get(first) !== args[0]) return 0;
        this.delete(first);
        return 1;
      case 'members':
        return [
          ...[this.#clock(), Number(this.get(third) ?? this.#clock())],
          ...[second, first, fifth, fourth].map((key) => this.#pairs(key)),
        ];
      default:
        return super.run(script, keys, args);
    }
  }

  #journal(key: string): readonly [revision?: number, value?: string] {
    const value = this.get(key);
    const revision = Number(/^(\d+):/.exec(typeof value === 'string' ? value : '')?.[1] ?? Number.NaN);
    return revision <= this.#clock() + DAY_MS ? [revision, String(value)] : [];
  }

  #lease(key: string, [holder = '', ms = '', mode = '']: readonly string[]): unknown {
    const current = this.get(key);
    if (current === undefined && mode !== 'take') return [this.#clock(), ''];
    if (current !== undefined && current !== holder)
      return [this.#clock(), typeof current === 'string' ? current.slice(0, 256) : 'unknown'];
    this.set(key, holder, Number(ms));
    return [this.#clock(), holder];
  }

  #note([key, lease]: readonly [string, string], args: readonly string[]): unknown {
    const [holder = '', revision = '', value = '', ms = '', , news = '', base] = args;
    if (holder !== '' && this.get(lease) !== holder) return 0;
    const [stored = -1] = this.#journal(key);
    if (stored >= Number(revision) || stored > Number(base ?? revision)) return 0;
    this.set(key, value, Number(ms));
    this.#news(news);
    return 1;
  }

  #pairs(key: string): string[] {
    const value = this.get(key);
    return value instanceof Map ? [...value].flat() : [];
  }
}
