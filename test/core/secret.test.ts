// Every way in which a value turns into text shows nothing of a secret.
import { format, inspect } from 'node:util';
import { serialize } from 'node:v8';
import { describe, expect, it } from 'vitest';
import { Secret } from '../../src/core/secret.ts';

const VALUE = 'CANARY-4711';

const WAYS: Readonly<Record<string, (secret: Secret) => unknown>> = {
  'String()': (secret) => String(secret),
  'a template': (secret) => `${secret}`,
  concatenation: (secret) => ['', secret].reduce((text, part) => text + String(part), ''),
  'toLocaleString()': (secret) => secret.toLocaleString(),
  'JSON of it and of what holds it': (secret) => JSON.stringify([secret, { secret }, new Map([['k', secret]])]),
  'inspect with everything shown': (secret) =>
    inspect({ deep: { secret } }, { depth: null, showHidden: true, getters: true, customInspect: true }),
  'inspect without custom inspection': (secret) => inspect(secret, { customInspect: false, showHidden: true }),
  'the format of console.log': (secret) => format('%s %o %O %j %d', secret, secret, secret, secret, secret),
  structuredClone: (secret) => inspect(structuredClone(secret), { showHidden: true }),
  'a message to another thread': (secret) => serialize({ ...secret }).toString('latin1'),
  spread: (secret) => JSON.stringify({ ...secret }),
  'own keys, values and entries': (secret) =>
    JSON.stringify([Reflect.ownKeys(secret), Object.values(secret), Object.entries(secret)]),
  'Object.assign': (secret) => inspect(Object.assign({}, secret)),
  'an error’s message and cause': (secret) => inspect(new Error(`failed with ${secret}`, { cause: secret })),
  'a URL': (secret) => new URLSearchParams({ secret: secret as unknown as string }).toString(),
  'an array’s join': (secret) => [secret, secret].join(),
  'a failed expectation': (secret) => String(new TypeError(`unexpected ${inspect([secret])}`)),
};

describe('secret', () => {
  it.each(Object.entries(WAYS))('shows nothing through %s', (_way, print) => {
    expect(String(print(new Secret(VALUE)))).not.toContain('CANARY');
  });

  it('hands out its value by reveal() alone', () => {
    expect(new Secret(VALUE).reveal()).toBe(VALUE);
  });

  it('has a short fingerprint that is the same for equal values only', () => {
    const fingerprint = new Secret(VALUE).fingerprint();
    expect(fingerprint).toMatch(/^[0-9a-f]{8}$/);
    expect(new Secret(VALUE).fingerprint()).toBe(fingerprint);
    expect(new Secret(`${VALUE} `).fingerprint()).not.toBe(fingerprint);
  });
});
