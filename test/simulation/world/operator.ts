/** Whoever edits the files of the sidecar: rightly, wrongly, or in two halves. */

import { CONFIG_FILE, SECRET_FILE } from './sidecar-host.ts';
import type { Kind, World } from './world.ts';

/** How a file gets its new content. */
type How = 'renamed' | 'halves' | 'wrongFirst';

const HALF_MS: readonly [number, ...number[]] = [50, 700, 3000];
const WRONG_MS: readonly [number, ...number[]] = [2000, 30_000, 5 * 60_000];

export class Operator {
  readonly #world: World;
  /** What it wrote, and for how long it was not what it should be. */
  readonly edits: { readonly at: number; readonly how: How; readonly ms: number }[] = [];
  #count = 0;
  /** What the files should say. */
  #secret = '';
  #config = '';

  constructor(world: World) {
    this.#world = world;
    const { disk } = world.platform;
    disk.makeFolder('/sim/etc');
    disk.flush('/sim', disk.find('/sim'));
    if (!world.iam) this.newSecret(0);
    this.newConfig();
    this.repair();
  }

  /** The identity server has a new secret; the old one works for some more time. */
  newSecret(graceMs: number): void {
    this.#count += 1;
    this.#secret = `secret-${this.#count}-for-the-simulated-client`;
    this.#world.identity.rotate(this.#secret, graceMs);
  }

  newConfig(): void {
    this.#count += 1;
    this.#config = configText(this.#count, this.#world);
  }

  edit(file: 'secret' | 'config', how: How, ms: number): void {
    const [path, text] = file === 'secret' ? [SECRET_FILE, this.#secret] : [CONFIG_FILE, this.#config];
    const { time } = this.#world.platform;
    this.#world.trace('operator', `writes ${path}, ${how}`);
    this.edits.push({ at: time.nowMs, how, ms });
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
      if (this.#world.platform.disk.find(path).content.toString() !== text) this.#overwrite(path, text);
    };
    time.after(ms, this.#world.process('operator', this.#world.sidecar.machine), right);
  }

  /** Both files say what they should. */
  repair(): void {
    if (!this.#world.iam) this.replace(SECRET_FILE, this.#secret);
    this.replace(CONFIG_FILE, this.#config);
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
    disk.flush('/sim/etc', disk.find('/sim/etc'));
  }
}

/** JSON is YAML. */
function configText(version: number, { iam, audit }: World): string {
  return JSON.stringify({
    ...{ unsafe: { plainTextHttp: true }, listen: '127.0.0.1:7080', admin: '127.0.0.1:7090', log: { level: 'info' } },
    ...iam?.options,
    ...audit?.options,
    credentials: {
      default: {
        ...{ tokenEndpoint: 'https://id.sim/connect/token', clientId: 'erp', scope: 'payments' },
        secrets: [{ file: SECRET_FILE }],
        ...(iam && { rotation: iam.rotation }),
      },
      ...iam?.credentials,
    },
    routes: [{ path: '/api', upstream: 'http://api.sim' }],
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
    apply: ({ operator, iam }, { how, ms, graceMs }) => {
      // There the secret is changed in IAM, too: by kinds of its own.
      if (iam) return;
      operator.newSecret(Number(graceMs));
      operator.edit('secret', how as How, Number(ms));
    },
  },
  'operator.configure': {
    weight: 2,
    draw: hows,
    apply: ({ operator }, { how, ms }) => {
      operator.newConfig();
      operator.edit('config', how as How, Number(ms));
    },
  },
};
