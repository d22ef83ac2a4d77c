/** Whoever edits the files of the sidecar: rightly, wrongly, or in two halves. */
import { posix } from 'node:path';
import type { Machine } from '../platform/process.ts';
import { FLEET_CLIENT } from './fleet.ts';
import type { SidecarHost } from './sidecar-host.ts';
import type { Kind, World } from './world.ts';

/** How a file gets its new content. */
type How = 'renamed' | 'halves' | 'wrongFirst';

const HALF_MS: readonly [number, ...number[]] = [50, 700, 3000];
const WRONG_MS: readonly [number, ...number[]] = [2000, 30_000, 5 * 60_000];

interface Edit {
  readonly machine: Machine;
  readonly at: number;
  readonly how: How;
  readonly ms: number;
}

export class Operator {
  readonly #world: World;
  /** What it wrote, and for how long it was not what it should be. */
  readonly edits: Edit[] = [];
  #count = 0;
  /** What the files should say. */
  #secret = '';
  #former = '';
  readonly #configs = new Map<SidecarHost, string>();

  constructor(world: World) {
    this.#world = world;
    const { disk } = world.platform;
    for (const { folder } of world.everyHost) disk.makeFolder(folder);
    disk.flush('/sim', disk.find('/sim'));
    if (!world.iam) this.newSecret(0);
    for (const host of world.everyHost) this.newConfig(host);
    this.repair();
  }

  /** The identity server has a new secret; the old one works for some more time. */
  newSecret(graceMs: number): void {
    this.#count += 1;
    this.#former = this.#secret || 'a-former-secret-that-nobody-knows';
    this.#secret = `secret-${this.#count}-for-the-simulated-client`;
    this.#world.identity.rotate(this.#secret, graceMs);
  }

  newConfig(host: SidecarHost): void {
    this.#count += 1;
    this.#configs.set(host, configText(host, this.#count, this.#world));
  }

  /** Rightly, at once: the files that the configuration names, and the configuration. */
  write(host: SidecarHost): void {
    this.newConfig(host);
    this.#note(host, 'renamed', 0);
    for (const [path, text] of this.#world.fleet?.filesOf(host) ?? []) this.replace(path, text);
    this.replace(host.configFile, this.#configs.get(host) ?? '');
  }

  /** On the other hosts, a secret gets there a little later, one by one. */
  editSecret(host: SidecarHost, how: How, ms: number): void {
    this.edit(host, 'secret', { how, ms });
    const { time } = this.#world.platform;
    for (const [index, other] of this.#world.hosts.filter((one) => one !== host).entries())
      time.after((index + 1) * 1500, this.#world.process('operator', other.machine), () => {
        this.#note(other, 'renamed', 0);
        this.replace(other.secretFile, this.#secret);
      });
  }

  edit(host: SidecarHost, file: 'secret' | 'config', { how, ms }: { readonly how: How; readonly ms: number }): void {
    const [path, text] =
      file === 'secret' ? [host.secretFile, this.#secret] : [host.configFile, this.#configs.get(host) ?? ''];
    const { time } = this.#world.platform;
    this.#world.trace('operator', `writes ${path}, ${how}`);
    this.#note(host, how, ms);
    if (how === 'renamed') {
      this.replace(path, text);
      return;
    }
    if (how === 'halves') this.#overwrite(path, text.slice(0, text.length / 2));
    else
      this.replace(
        path,
        file === 'secret' ? 'a-secret-that-nobody-knows-0123456789' : text.replace('"routes"', '"roads"'),
      );
    const right = () => {
      // What it should say by now: a later edit may have been right already.
      const wanted = file === 'secret' ? this.#secret : (this.#configs.get(host) ?? '');
      if (this.#world.platform.disk.find(path).content.toString() !== wanted) this.#overwrite(path, wanted);
    };
    time.after(ms, this.#world.process('operator', host.machine), right);
  }

  /** All files say what they should. */
  repair(): void {
    for (const host of this.#world.hosts) this.equip(host);
  }

  /** The files of a host say what they should. */
  equip(host: SidecarHost): void {
    if (!this.#world.iam) this.replace(host.secretFile, this.#secret);
    for (const [path, text] of this.#world.fleet?.filesOf(host) ?? []) this.replace(path, text);
    this.replace(host.configFile, this.#configs.get(host) ?? '');
  }

  /** The one before, which may still work; or one that nobody knows. */
  storeFormerSecret(host: SidecarHost): void {
    this.#note(host, 'renamed', 0);
    this.replace(host.secretFile, this.#former);
  }

  #note({ machine }: SidecarHost, how: How, ms: number): void {
    this.edits.push({ machine, at: this.#world.platform.time.nowMs, how, ms });
  }

  #overwrite(path: string, text: string): void {
    const { disk } = this.#world.platform;
    const { freeBytes } = disk;
    // Whoever writes by hand makes room first.
    disk.freeBytes = Number.POSITIVE_INFINITY;
    const inode = disk.open(path, { create: true, mode: 0o600 });
    disk.truncate(inode, 0);
    disk.write(inode, 0, Buffer.from(text));
    disk.freeBytes = freeBytes;
  }

  /** With the text; durably, by renaming. */
  replace(path: string, text: string): void {
    const { disk } = this.#world.platform;
    if (disk.has(path) && disk.find(path).content.toString() === text) return;
    this.#overwrite(`${path}.new`, text);
    disk.flush(`${path}.new`, disk.find(`${path}.new`));
    disk.rename(`${path}.new`, path);
    disk.flush(posix.dirname(path), disk.find(posix.dirname(path)));
  }
}

/** JSON is YAML. */
function configText(host: SidecarHost, version: number, world: World): string {
  const { iam, audit, fleet, budget, issuer, scopes } = world;
  return JSON.stringify({
    ...{ unsafe: { plainTextHttp: true }, listen: '127.0.0.1:7080', admin: '127.0.0.1:7090', log: { level: 'info' } },
    ...iam?.options,
    ...audit?.options,
    credentials: {
      default: {
        ...(issuer?.options ?? { tokenEndpoint: 'https://id.sim/connect/token' }),
        ...{ clientId: fleet && !iam ? FLEET_CLIENT : 'erp', scope: scopes.ofCredential(host) },
        secrets: [{ file: host.secretFile }],
        ...(iam && { rotation: iam.rotation }),
      },
      ...iam?.credentials,
    },
    routes: [
      {
        ...{ path: '/api', upstream: 'http://api.sim' },
        ...(budget && { limits: { requestsPerMinute: budget } }),
        ...(scopes.ofRoute && { scope: scopes.ofRoute }),
      },
    ],
    ...(fleet && { fleet: fleet.configOf(host) }),
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
      // There the secret is changed in IAM, too: by kinds of its own.
      if (world.iam) return;
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
