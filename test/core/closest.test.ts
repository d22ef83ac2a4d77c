// Which word somebody meant who mistyped one.
import { describe, expect, it } from 'vitest';
import { closest } from '../../src/core/closest.ts';

describe('core/closest', () => {
  it.each([
    ['chekc', ['serve', 'check', 'demo'], 'check'],
    ['credentails', ['listen', 'credentials'], 'credentials'],
    ['client_id', ['clientId', 'auth'], 'clientId'],
    ['/bankng', ['/banking', '/events'], '/banking'],
    ['/Events', ['/banking', '/events'], '/events'],
    ['ARITMA_CLIENTID', ['ARITMA_CLIENT_ID', 'ARITMA_CLIENT_SECRET'], 'ARITMA_CLIENT_ID'],
    ['scope', ['scopes', 'scope'], 'scope'],
  ])('takes %s for the nearest of %j', (word, known, meant) => {
    expect(closest(word, known)).toBe(meant);
  });

  it.each([
    ['maximum', ['minimum', 'limit']],
    ['bogus', ['routes', 'drain', 'log']],
    ['x', []],
    ['/accounts', ['/banking', '/events']],
    ['', ['listen']],
  ])('takes %j for none of %j', (word, known) => {
    expect(closest(word, known)).toBeUndefined();
  });

  it('compares a bounded part of whatever a caller sends', () => {
    const startedAt = performance.now();
    expect(closest('x'.repeat(1_000_000), ['y'.repeat(1_000_000)])).toBeUndefined();
    expect(performance.now() - startedAt).toBeLessThan(1000);
  });
});
