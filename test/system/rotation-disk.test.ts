/**
 * The disk, and not the program, is what fails: no room, nothing may be written, somebody else's file. The error says so,
 * nothing is lost, IAM has nothing that the journal does not know, and after the repair the next run ends it.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { failuresOf, type Point } from '../support/kill-matrix.ts';
import { inLanes, nameOf } from '../support/kill-rows.ts';
import {
  createRotationWorld,
  type Ending,
  journalWrong,
  type Lane,
  leftWrong,
  type RotationWorld,
  type Run,
  unsafeNow,
  valueIn,
} from '../support/rotation-lanes.ts';

const NOBODY = 65_534;
const AS_NOBODY = ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'] as const;
const PAGE = 4096;
const ROUND = ['ENOSPC', 'EIO', 'EROFS', 'EDQUOT'] as const;

const main = new URL('../../src/main.ts', import.meta.url).pathname;
const canBeNobody =
  process.getuid?.() === 0 &&
  spawnSync(AS_NOBODY[0], [...AS_NOBODY.slice(1), process.execPath, main, '--version']).status === 0;

function tryMount(): boolean {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false;
  const folder = '/mnt';
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder]).status !== 0) return false;
  return spawnSync('umount', [folder]).status === 0;
}

/** Whether it failed for the reason given and did no harm; empty = yes. */
async function dishonest(world: RotationWorld, lane: Lane, { code, output }: Ending, errno: string): Promise<string[]> {
  const told = output.includes('ROTATION_STORE_FAILED') && output.includes(errno);
  return [
    ...(code === 8 ? [] : [`exit ${code}: ${output}`]),
    ...(told ? [] : [`not told as ${errno}: ${output}`]),
    ...(await unsafeNow(world, lane)),
    ...(await unknownAtIam(world, lane)),
  ];
}

async function unknownAtIam(world: RotationWorld, lane: Lane): Promise<string[]> {
  const secrets = await world.secretsOf(lane.clientId);
  const journal = textOf(`${lane.secretFile}.rotation`);
  const known = ({ clientSecretId, description }: (typeof secrets)[number]) =>
    journal.includes(clientSecretId) || journal.includes(description);
  const unknown = secrets.length > 1 ? secrets.filter((secret) => !known(secret)) : [];
  return unknown.map(({ description }) => `IAM has "${description}", which the journal does not know`);
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

async function repaired(world: RotationWorld, lane: Lane, old: string, run?: Run): Promise<string[]> {
  const { code, output } = await world.rotate(lane, run);
  return [
    ...(code === 0 ? [] : [`after the repair: exit ${code}: ${output}`]),
    ...(await leftWrong(world, lane, old)),
    ...(await journalWrong(world, lane, old)),
  ];
}

describe('rotate, when the disk fails', () => {
  it('says so at each change it makes, does no harm, and ends it at the next run', { timeout: 400_000 }, async () => {
    await using world = await createRotationWorld({ lanes: 6 });
    await Promise.all(world.lanes.map((lane) => world.rotate(lane)));
    const { changes } = await world.rotate(world.lanes[0] as Lane);
    const points = failuresOf(changes, 'ENOSPC').map((point, index) => ({
      ...point,
      errno: ROUND[index % ROUND.length] ?? '',
    }));
    const results = await inLanes(world.lanes, points, (lane, point) => failAt(world, lane, point));
    const wrong = results.filter((result) => result.wrong.length > 0);
    process.stdout.write(`${results.length} changes failed, ${results.length - wrong.length} told and repaired\n`);
    expect(wrong).toEqual([]);
    expect(results.length).toBeGreaterThan(40);
  });

  async function failAt(world: RotationWorld, lane: Lane, point: Point & { errno: string }) {
    const old = valueIn(lane);
    const ending = await world.rotate(lane, { point });
    // What is only to be cleared away may stay: the next run does it. A lock that stays is in the way of this one.
    const isTidying = point.change.startsWith('rm ');
    const isFine = ending.code === 0 || (ending.code === 8 && ending.output.includes('ROTATION_LOCKED'));
    const wrong = isTidying && isFine ? [] : await dishonest(world, lane, ending, point.errno);
    return { row: nameOf({ points: [point] }), wrong: [...wrong, ...(await repaired(world, lane, old))] };
  }

  it.skipIf(!tryMount())('finds room for some of its files and not for others', { timeout: 120_000 }, async () => {
    await using world = await createRotationWorld({ lanes: 5 });
    const outcomes = await Promise.all(world.lanes.map((lane, pages) => withRoom(world, lane, pages)));
    expect(outcomes.flatMap(({ wrong }) => wrong)).toEqual([]);
    expect(outcomes[0]?.code).toBe(8);
    expect(outcomes.at(-1)?.code).toBe(0);
  });

  /** With that many pages left on a file system of its own. */
  async function withRoom(world: RotationWorld, lane: Lane, pages: number) {
    const old = valueIn(lane);
    const texts = ['config.json', 'secret'].map((name) => ({ name, text: textOf(join(lane.folder, name)) }));
    expect(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', lane.folder]).status).toBe(0);
    try {
      for (const { name, text } of texts) writeFileSync(join(lane.folder, name), text, { mode: 0o600 });
      const filler = join(lane.folder, 'filler');
      writeFileSync(filler, Buffer.alloc((16 - texts.length - pages) * PAGE));
      const ending = await world.rotate(lane);
      const wrong = ending.code === 0 ? [] : await dishonest(world, lane, ending, 'ENOSPC');
      rmSync(filler);
      if (ending.code !== 0) wrong.push(...(await repaired(world, lane, old)));
      return { code: ending.code, wrong: wrong.map((what) => `${pages} pages: ${what}`) };
    } finally {
      spawnSync('umount', [lane.folder]);
    }
  }
});

describe.skipIf(!canBeNobody)('rotate as another user', () => {
  const run: Run = { launcher: AS_NOBODY };

  it('creates nothing where it may not write', async () => {
    await using world = await createRotationWorld({ lanes: 1 });
    const [lane] = world.lanes as [Lane];
    const old = valueIn(lane);
    chmodSync(lane.folder, 0o755);
    for (const file of [lane.config, lane.secretFile]) chmodSync(file, 0o644);
    expect(await dishonest(world, lane, await world.rotate(lane, run), 'EACCES')).toEqual([]);
    expect(lane.created).toBe(0);
    chownSync(lane.folder, NOBODY, NOBODY);
    chownSync(lane.secretFile, NOBODY, NOBODY);
    expect(await repaired(world, lane, old, run)).toEqual([]);
  });

  it('creates nothing when the secret file turns out to be somebody else’s', async () => {
    await using world = await createRotationWorld({ lanes: 1 });
    const [lane] = world.lanes as [Lane];
    const old = valueIn(lane);
    chownSync(lane.folder, NOBODY, NOBODY);
    for (const file of [lane.config, lane.secretFile]) chmodSync(file, 0o644);
    for (let tries = 0; tries < 2; tries += 1) {
      expect(await dishonest(world, lane, await world.rotate(lane, run), 'EPERM')).toEqual([]);
    }
    expect([valueIn(lane), lane.created]).toEqual([old, 0]);
    chownSync(lane.secretFile, NOBODY, NOBODY);
    expect(await repaired(world, lane, old, run)).toEqual([]);
    expect(lane.created).toBe(1);
  });

  it('leaves the secret to its owner when it is root who rotates', async () => {
    await using world = await createRotationWorld({ lanes: 1 });
    const [lane] = world.lanes as [Lane];
    const old = valueIn(lane);
    chownSync(lane.secretFile, NOBODY, NOBODY);
    chmodSync(lane.secretFile, 0o640);
    expect(await repaired(world, lane, old)).toEqual([]);
    const { uid, gid, mode } = statSync(lane.secretFile);
    expect({ uid, gid, mode: mode & 0o777 }).toEqual({ uid: NOBODY, gid: NOBODY, mode: 0o640 });
  });
});
