import { describe, expect, it } from 'vitest';
import { fitsResource, SCOPE_URI, scopesAbove } from '../../src/emulator/scope-uri.ts';

describe('src/emulator/scope-uri.ts', () => {
  it.each([
    ['/', ['/']],
    ['/subscriptions', ['/', '/subscriptions']],
    [
      '/subscriptions/1/resource-groups/a',
      [
        '/',
        '/subscriptions',
        '/subscriptions/1',
        '/subscriptions/1/resource-groups',
        '/subscriptions/1/resource-groups/a',
      ],
    ],
  ])('finds what %s lies under', (scope, above) => {
    expect(scopesAbove(scope)).toEqual(above);
  });

  it.each([
    ['/', true],
    ['/subscriptions/123', true],
    ['/subscriptions/a b', false],
    ['/subscriptions/1\n', false],
    ['//', false],
    ['/a/', false],
    ['a', false],
    ['', false],
  ])('takes %j for a scope: %s', (text, is) => {
    expect(SCOPE_URI.test(text)).toBe(is);
  });

  it('tells types from names, also where a name looks like a type', () => {
    const scope = '/subscriptions/accounts/resource-groups/providers/providers/p/accounts/7';
    expect(fitsResource(scope, { type: 'accounts', provider: 'p' })).toBe(true);
    expect(fitsResource('/subscriptions/accounts', { type: 'accounts' })).toBe(false);
    expect(fitsResource('/subscriptions/1/resource-groups/providers', { provider: 'p' })).toBe(true);
    expect(fitsResource(scope, { provider: 'q' })).toBe(false);
    expect(fitsResource('/', {})).toBe(true);
  });
});
