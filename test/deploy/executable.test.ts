/** The pinned Node of the executables is the one that everything else is tested with. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { NODE_VERSION, TARGETS } from '../../deploy/executable/targets.ts';

const ROOT = join(import.meta.dirname, '../..');

describe('deploy/executable', () => {
  it('puts in the Node that the tests run with', () => {
    const { devDependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
      devDependencies: Record<string, string>;
    };
    expect(NODE_VERSION).toBe(devDependencies['node']);
  });

  it('holds every platform’s Node to a checksum of its own', () => {
    const sums = Object.values(TARGETS).map(({ integrity }) => integrity);
    expect(sums.filter((sum) => !/^sha512-[A-Za-z0-9+/]{86}==$/.test(sum))).toEqual([]);
    expect(new Set(sums).size).toBe(sums.length);
    const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
      packages: Record<string, { version?: string }>;
    };
    expect(packages['node_modules/node']?.version).toBe(NODE_VERSION);
  });
});
