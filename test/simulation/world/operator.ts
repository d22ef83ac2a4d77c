/** Whoever edits the files of the sidecar: rightly, wrongly, or in two halves. */
import { posix } from 'node:path';
import { FLEET_CLIENT } from './fleet.ts';
import type { Kind, World } from './world.ts';
import type { SidecarHost } from './sidecar-host.ts';

/** How a file gets its new content. */
type How = 'renamed' | 'halves' | 'wrongFirst';

const HALF_MS: readonly [number, ...number[]] = [50, 700, 3000];
const WRONG_MS: readonly [number, ...number[]] = [2000, 30_000, 5 * 60_000];

export class Operator {
  readonly #world: World;
  #count = 0;
  /** What the files should say. */
  #secret = '';
  readonly #configs = new Map<SidecarHost, string>();

  constructor(world: World) {
    this.#world = world;
    this.newSecret(0);
    for (const host of world.hosts) {
      world.platform.disk.makeFolder(host.folder);
      this.newConfig(host);
    }
    this.repair();
  }

  /** The identity server has a new secret; the old one works for some more time. */
  newSecret(graceMs: number): void {
    this.#count += 1;
    this.#secret = `secret-${this.#count}-for-the-simulated-client`;
    this.#world.identity.rotate(this.#secret, graceMs);
  }

  newConfig(host: SidecarHost): void {
    this.#count += 1;
    this.#configs.set(host, configText(host, this.#count, this.#world.fleet?.configOf(host)));
  }

  /** Rightly, at once: the files that the configuration names, and the configuration. */
  write(host: SidecarHost): void {
    this.newConfig(host);
    for (const [path, text] of this.#world.fleet?.filesOf(host) ?? []) this.#replace(path, text);
    this.#replace(host.configFile, this.#configs.get(host) ?? '');
  }

  /** On the other hosts, a secret gets there a little later, one by one. */
  editSecret(host: SidecarHost, how: How, ms: number): void {
    this.edit(host, 'secret', { how, ms });
    const { time } = this.#world.platform;
    for (const [index, other] of this.#world.hosts.filter((one) => one !== host).entries())
      time.after((index + 1) * 1500, this.#world.process('operator', other.machine), () => this.#replace(other.secretFile, this.#secret));
  }

  edit(host: SidecarHost, file: 'secret' | 'config', { how, ms }: { readonly how: How; readonly ms: number }): void {
    const [path, text] = file === 'secret' ? [host.secretFile, this.#secret] : [host.configFile, this.#configs.get(host) ?? ''];
    const { time } = this.#world.platform;
    this.#world.trace('operator', `writes ${path}, ${how}`);
    if (how === 'renamed') return this.#replace(path, text);
    if (how === 'halves') this.#overwrite(path, text.slice(0, text.length / 2));
    else this.#replace(path, file === 'secret' ? 'a-secret-that-nobody-knows-0123456789' : text.replace('"routes"', '"roads"'));
    const right = () => {
      // What it should say by now: a later edit may have been right already.
      const wanted = file === 'secret' ? this.#secret : (this.#configs.get(host) ?? '');
      if (this.#world.platform.disk.find(path).content.toString() !== wanted) this.#overwrite(path, wanted);
    };
    time.after(ms, this.#world.process('operator', host.machine), right);
  }

  /** All files say what they should. */
  repair(): void {
    for (const host of this.#world.hosts) {
      this.#replace(host.secretFile, this.#secret);
      for (const [path, text] of this.#world.fleet?.filesOf(host) ?? []) this.#replace(path, text);
      this.#replace(host.configFile, this.#configs.get(host) ?? '');
    }
  }

  #overwrite(path: string, text: string): void {
    const { disk } = this.#world.platform;
    const inode = disk.open(path, { create: true, mode: 0o600 });
    disk.truncate(inode, 0);
    disk.write(inode, 0, Buffer.from(text));
  }

  #replace(path: string, text: string): void {
    const { disk } = this.#world.platform;
    if (disk.has(path) && disk.find(path).content.toString() === text) return;
    this.#overwrite(`${path}.new`, text);
    disk.flush(`${path}.new`, disk.find(`${path}.new`));
    disk.rename(`${path}.new`, path);
    disk.flush(posix.dirname(path), disk.find(posix.dirname(path)));
  }
}

/** JSON is YAML. */
function configText(host: SidecarHost, version: number, fleet: object | undefined): string {
  return JSON.stringify({
    ...{ unsafe: { plainTextHttp: true }, listen: '127.0.0.1:7080', admin: '127.0.0.1:7090', log: { level: 'info' } },
    credentials: {
      default: {
        ...{ tokenEndpoint: 'https://id.sim/connect/token', clientId: fleet ? FLEET_CLIENT : 'erp', scope: 'payments' },
        secrets: [{ file: host.secretFile }],
      },
    },
    routes: [{ path: '/api', upstream: 'http://api.sim' }],
    ...(fleet && { fleet }),
    timeouts: { firstByte: `${40 + (version % 20)}s` },
  });
}

const hows = (chance: Parameters<Kind['draw']>[0]) => {
  const how = chance.pick(['renamed', 'halves', 'wrongFirst'] as const);
  return { how, ms: how === 'halves' ? chance.pick(HALF_MS) : chance.pick(WRONG_MS) };
};

export const OPERATOR_KINDS: Readonly<Record<string, Kind>> = {
  'operator.rotate': {
    weight: 4,
    draw: (chance) => ({ ...hows(chance), graceMs: chance.pick([0, 0, 1000, 600_000]) }),
    apply: (world, { how, ms, graceMs, host }) => {
      world.operator.newSecret(Number(graceMs));
      world.operator.editSecret(world.hostOf(host), how as How, Number(ms));
    },
  },
  'operator.configure': {
    weight: 2,
    draw: hows,
    apply: (world, { how, ms, host }) => {
      world.operator.newConfig(world.hostOf(host));
      world.operator.edit(world.hostOf(host), 'config', { how: how as How, ms: Number(ms) });
    },
  },
};
