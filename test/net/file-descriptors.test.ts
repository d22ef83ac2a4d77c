// How many connections callers get where file descriptors are few.
import { describe, expect, it } from 'vitest';
import { fitConnections } from '../../src/net/file-descriptors.ts';

const limits = { connections: 1000, upstreamConnections: 256 };

describe('fitConnections', () => {
  it.each([
    ['all, where there is room', 20_000, 2, 1000],
    ['all, where they just fit', 1000 + 512 + 20 + 24, 2, 1000],
    ['what the APIs leave', 1000 + 512 + 20 + 23, 2, 999],
    ['half, where the APIs would take most', 344, 1, 150],
    ['one at least', 30, 1, 1],
  ])('gives %s', (_case, limit, origins, connections) => {
    expect(fitConnections(limits, origins, { limit, open: 20 })).toBe(connections);
  });
});
